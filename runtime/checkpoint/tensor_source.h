// Where tensors' elements come from.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "runtime/checkpoint/random_file.h"

namespace switchyard {

struct PackedExtent;
struct TensorEntry;

/// Gives the elements of a checkpoint's tensors. One thread at a time.
class TensorSource {
 public:
  TensorSource() = default;
  TensorSource(const TensorSource&) = delete;
  TensorSource& operator=(const TensorSource&) = delete;
  virtual ~TensorSource() = default;

  /// Writes elements [first, first + count) of the tensor in row-major order into `to`, which
  /// receives count * size_of(dtype) bytes.
  virtual void read(const std::string& name, const TensorEntry& entry, int64_t first, int64_t count,
                    void* to) = 0;

  /// Writes rows [first_row, first_row + num_rows) of a matrix with given_codes() as pack_weight
  /// takes them: WeightSpec::source_row_bytes() each.
  virtual void read_codes(const std::string& name, const TensorEntry& entry, int64_t first_row,
                          int64_t num_rows, void* to);

  /// Writes the bytes of a packed expert or matrix into `to`; `what` is what they are, for
  /// messages. Only checkpoints that were converted have such.
  virtual void read_packed(const PackedExtent& extent, void* to, const std::string& what);

  /// Bytes of tensors read from files so far.
  virtual int64_t bytes_read() const = 0;
};

/// Opens sources of one checkpoint's tensors: one for each thread that reads. Thread-safe.
class TensorSources {
 public:
  TensorSources() = default;
  TensorSources(const TensorSources&) = delete;
  TensorSources& operator=(const TensorSources&) = delete;
  virtual ~TensorSources() = default;

  /// What is not in a file has nothing to cache.
  virtual std::unique_ptr<TensorSource> open(FileCaching caching) = 0;
};

}  // namespace switchyard
