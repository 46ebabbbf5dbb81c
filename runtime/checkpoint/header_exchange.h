// Headers of files that ranks read for each other.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "kernels/base/byte_codec.h"
#include "parallel/control_channel.h"
#include "runtime/checkpoint/torch_file.h"

namespace switchyard {

/// Tensors as they stand in one file: without the number of their file, extents, parts or encoding.
void put_tensors(ByteWriter& writer, const std::vector<TorchTensor>& tensors);
std::vector<TorchTensor> get_tensors(ByteReader& reader);

/// Collective: `read(i, writer)` is called for header i on rank i mod R and writes it; `take(i,
/// reader)` is called for every header on every rank and takes what was written. What `read` throws
/// on any rank is thrown on all.
void exchange_headers(size_t count, ControlChannel& control,
                      const std::function<void(size_t, ByteWriter&)>& read,
                      const std::function<void(size_t, ByteReader&)>& take);

}  // namespace switchyard
