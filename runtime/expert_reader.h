// From a checkpoint's files to packed experts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/aligned_buffer.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/expert_slot.h"

namespace switchyard {

/// What an expert of the checkpoint looks like in a slot.
ExpertShape expert_shape(const Checkpoint& checkpoint, const ExpertId& id);

/// What reading experts took so far.
struct ExpertReadCounts {
  int64_t bytes = 0;          // read from files
  double read_seconds = 0.0;  // in reading them
  double pack_seconds = 0.0;  // in converting, quantising and packing
};

/// Fills slots with experts of a checkpoint, by one thread. Those of a converted checkpoint are
/// read as they lie in the file, straight into the slot where the host can address that.
class ExpertReader {
 public:
  /// `source` gives the elements of tensors, of a converted checkpoint the bytes of experts. The
  /// references must outlive the reader; `stream` is driven by the thread that calls.
  ExpertReader(const Checkpoint& checkpoint, std::unique_ptr<TensorSource> source, Backend& backend,
               Stream& stream);

  /// Bytes of host memory a reader stages through at most, for experts of these shapes.
  static int64_t staging_bytes(const std::vector<ExpertShape>& shapes);

  /// Fills `slot` (expert_slot() of the expert's shape) and returns when it is filled. Throws
  /// Error(kInput) naming file, offset and expert when bytes are missing.
  void read(const ExpertId& id, const ExpertWeights& slot);

  /// Fills a dense matrix, named as in the index, in the same way.
  void read_matrix(const std::string& name, const Weight& to);

  const ExpertReadCounts& counts() const { return counts_; }

 private:
  void pack_matrix(const std::string& name, const Weight& to);
  /// Copies an extent to device memory. `what` is what it holds, for messages.
  void read_packed(const PackedExtent& extent, void* to, const std::string& what);
  void read_vector(const std::string& name, const TensorView& to);
  /// Elements [first, first + count) of a tensor in `kept_as` in front of staging_.
  void stage(const std::string& name, int64_t first, int64_t count, DType kept_as);
  /// Rows of a matrix that keeps its codes.
  void stage_codes(const std::string& name, int64_t first_row, int64_t num_rows,
                   const WeightSpec& spec);

  const Checkpoint& checkpoint_;
  std::unique_ptr<TensorSource> source_;
  Backend& backend_;
  Stream& stream_;
  std::vector<int> layers_;  // the model's numbers of the MoE layers
  std::vector<char> raw_;
  std::vector<char> kept_;
  HostBuffer staging_;  // of extents, for devices whose memory the host cannot address
  ExpertReadCounts counts_;
};

}  // namespace switchyard
