// What tensors take in the files, however they are put together.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// "bf16", "fp8", "mxfp4", or several with " and " where a tensor is made of such.
std::string stored_type(const TensorEntry& entry);

/// Adds up tensors' bytes in the files. Scales that several share count once, and so do the extents
/// of packed experts.
class StoredPieces {
 public:
  /// The bytes that this tensor adds.
  int64_t add(const TensorEntry& entry);
  /// Numbers of the files that hold something of the tensors.
  const std::set<int32_t>& files() const { return files_; }

 private:
  std::set<std::pair<int32_t, int64_t>> scales_;  // file and offset
  std::set<std::pair<int32_t, int64_t>> packed_;
  std::set<int32_t> files_;
};

}  // namespace switchyard
