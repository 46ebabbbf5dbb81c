// Named tensors in files: headers first, byte ranges on demand.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "parallel/control_channel.h"
#include "runtime/checkpoint/tensor_source.h"
#include "runtime/model_config.h"

namespace switchyard {

/// Where one tensor's elements lie. Element (i0, i1, ...) starts at byte
/// `offset + size_of(dtype) * sum(i_j * strides[j])` of file `file`.
struct TensorEntry {
  int32_t file = 0;  // index into CheckpointIndex::files
  int64_t offset = 0;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // in elements

  int64_t num_elements() const;
  /// Bytes of the elements, whatever the strides.
  int64_t bytes() const;
  /// Row-major without gaps: the tensor is the byte range [offset, offset + bytes()).
  bool is_contiguous() const;
};

struct CheckpointFile {
  std::string path;
  int64_t bytes = 0;
  uint64_t identity = 0;  // RandomFile::identity() where the header was read
};

/// All tensors of a checkpoint under their canonical names: experts by their global id, whatever
/// file they stand in.
struct CheckpointIndex {
  std::vector<CheckpointFile> files;
  std::map<std::string, TensorEntry> tensors;

  /// Throws Error(kInput) naming the tensor and the checkpoint if it is absent.
  const TensorEntry& at(const std::string& name) const;
};

/// A checkpoint whose headers are read, whose configuration is validated, and whose tensors are
/// proven complete: every tensor the model needs is there once, with the shape the configuration
/// says, and every expert of every MoE layer exactly once.
struct Checkpoint {
  std::string directory;
  ModelConfig config;
  CheckpointIndex index;
  /// Identifies the contents (names, shapes, types and the containers' checksums of all tensors)
  /// without reading them; equal on every rank.
  std::string fingerprint;
  /// Bytes of headers this rank read.
  int64_t header_bytes_read = 0;
  /// Things a user should know that are not errors, e.g. names of ignored tensors.
  std::vector<std::string> warnings;
};

/// Opens the fairseq checkpoint in `directory`. Collective: rank i parses the headers of the files
/// i mod R, all ranks get the whole index; an error on any rank is thrown on every rank.
Checkpoint open_checkpoint(const std::string& directory, ControlChannel& control);

/// Reads byte ranges of a checkpoint's files, counting them. One thread at a time.
class TensorReader : public TensorSource {
 public:
  explicit TensorReader(const CheckpointIndex& index);
  ~TensorReader() override;

  /// See TensorSource. Non-contiguous tensors are gathered. Throws Error(kInput) naming file,
  /// offset and tensor when the file ends early or cannot be read, or is not the file whose header
  /// another rank read.
  void read(const std::string& name, const TensorEntry& entry, int64_t first, int64_t count,
            void* to) override;

  int64_t bytes_read() const override { return bytes_read_; }

 private:
  class File;
  const CheckpointIndex& index_;
  std::vector<std::unique_ptr<File>> files_;
  int64_t bytes_read_ = 0;
};

}  // namespace switchyard
