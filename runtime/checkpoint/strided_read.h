// Reading elements that do not lie in the order they are wanted in.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {

/// Most bytes that strided_read holds besides what it writes.
inline constexpr int64_t kStridedStagingBytes = int64_t{16} << 20;

/// Writes elements [first, first + count) of a tensor without extents, in row-major order, to `to`.
/// The file is read in its own order, a band of at most `staging_bytes` at a time; gaps are read
/// with what is around them only where that is less work than leaving them out. `what` as in
/// RandomFile::read_at.
void strided_read(RandomFile& file, const TensorEntry& entry, int64_t first, int64_t count,
                  void* to, const std::string& what, int64_t staging_bytes = kStridedStagingBytes);

}  // namespace switchyard
