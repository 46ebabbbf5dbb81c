// Parts of a file's tensors as tensors of their own, without a copy.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/checkpoint/torch_file.h"

namespace switchyard {

/// Elements that follow each other in a file, and their place in its storage.
struct TensorRun {
  TensorExtent extent;
  StoragePlace place;
};

/// Elements [first, first + count) of the runs, which have `item_bytes` bytes each.
std::vector<TensorRun> cut_runs(const std::vector<TensorRun>& runs, int64_t item_bytes,
                                int64_t first, int64_t count);

/// Makes the runs the elements of a row-major tensor, whose shape and type are set.
void set_runs(const std::vector<TensorRun>& runs, TorchTensor& tensor);

/// Rows [first, first + count) of the first dimension.
TorchTensor rows_of(const TorchTensor& tensor, int64_t first, int64_t count);

}  // namespace switchyard
