#include "runtime/checkpoint/tensor_slice.h"

#include <algorithm>

namespace switchyard {
std::vector<TensorRun> cut_runs(const std::vector<TensorRun>& runs, int64_t item_bytes,
                                int64_t first, int64_t count) {
  std::vector<TensorRun> cut;
  for (const TensorRun& run : runs) {
    const int64_t skip = std::min(first, run.extent.count);
    const int64_t part = std::min(count, run.extent.count - skip);
    first -= skip;
    if (part == 0) continue;
    cut.push_back(run);
    cut.back().extent.offset += skip * item_bytes;
    cut.back().extent.count = part;
    cut.back().place.first += skip;
    count -= part;
  }
  return cut;
}

void set_runs(const std::vector<TensorRun>& runs, TorchTensor& tensor) {
  TensorEntry& entry = tensor.entry;
  entry.strides = row_major_strides(entry.shape);
  entry.extents.clear();
  tensor.places.clear();
  for (const TensorRun& run : runs) {
    entry.extents.push_back(run.extent);
    tensor.places.push_back(run.place);
  }
  if (runs.empty()) {
    tensor.places.emplace_back();
  } else {
    entry.file = runs[0].extent.file;
    entry.offset = runs[0].extent.offset;
  }
  if (runs.size() == 1) entry.extents.clear();
}

TorchTensor rows_of(const TorchTensor& tensor, int64_t first, int64_t count) {
  TorchTensor rows = tensor;
  const int64_t item = size_of(tensor.entry.dtype);
  rows.entry.shape[0] = count;
  if (tensor.entry.extents.empty()) {
    const int64_t skip = first * tensor.entry.strides[0];
    rows.entry.offset += skip * item;
    rows.places[0].first += skip;
    return rows;
  }
  std::vector<TensorRun> runs;
  for (size_t i = 0; i < tensor.entry.extents.size(); ++i) {
    runs.push_back({tensor.entry.extents[i], tensor.places[i]});
  }
  const int64_t row = tensor.entry.strides[0];
  set_runs(cut_runs(runs, item, first * row, count * row), rows);
  return rows;
}

}  // namespace switchyard
