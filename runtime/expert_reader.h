// From a checkpoint's files to packed experts.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
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

/// Fills slots with experts of a checkpoint, by one thread.
class ExpertReader {
 public:
  /// `source` gives the elements of tensors that have to be packed. The references must outlive
  /// the reader; `stream` is driven by the thread that calls.
  ExpertReader(const Checkpoint& checkpoint, std::unique_ptr<TensorSource> source, Backend& backend,
               Stream& stream);

  /// Bytes of host memory a reader stages through at most, for experts of these shapes.
  static int64_t staging_bytes(const std::vector<ExpertShape>& shapes);

  /// Fills `slot` (expert_slot() of the expert's shape) and returns when it is filled. Throws
  /// Error(kInput) naming file, offset and expert when bytes are missing.
  void read(const ExpertId& id, const ExpertWeights& slot);

  const ExpertReadCounts& counts() const { return counts_; }

 private:
  void read_matrix(const std::string& name, const Weight& to);
  void read_vector(const std::string& name, const TensorView& to);
  /// Elements [first, first + count) of a tensor in `kept_as` in front of staging_.
  void stage(const std::string& name, int64_t first, int64_t count, DType kept_as);

  const Checkpoint& checkpoint_;
  std::unique_ptr<TensorSource> source_;
  Backend& backend_;
  Stream& stream_;
  std::vector<int> layers_;  // the model's numbers of the MoE layers
  std::vector<char> raw_;
  std::vector<char> kept_;
  ExpertReadCounts counts_;
};

}  // namespace switchyard
