#include "runtime/checkpoint/tensor_slice.h"

#include <algorithm>

#include "kernels/base/error.h"

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

namespace {

/// Rows of a tensor that lies in extents.
TensorEntry rows_of_extents(const TensorEntry& entry, int64_t first, int64_t count) {
  std::vector<TensorRun> runs;
  for (const TensorExtent& extent : entry.extents) runs.push_back({extent, {}});
  const int64_t row = entry.strides[0];
  TorchTensor rows;
  rows.entry = entry;
  rows.entry.shape[0] = count;
  set_runs(cut_runs(runs, size_of(entry.dtype), first * row, count * row), rows);
  return rows.entry;
}

/// Rows of a tensor that is made of others.
TensorEntry rows_of_parts(const TensorEntry& entry, int64_t first, int64_t count) {
  TensorEntry rows = entry;
  rows.shape[0] = count;
  rows.strides = row_major_strides(rows.shape);
  rows.parts.clear();
  for (const TensorEntry& part : entry.parts) {
    const int64_t skip = std::min(first, part.shape[0]);
    const int64_t part_rows = std::min(count, part.shape[0] - skip);
    first -= skip;
    if (part_rows == 0) continue;
    rows.parts.push_back(rows_of(part, skip, part_rows));
    count -= part_rows;
  }
  if (rows.parts.size() == 1 && rows.parts[0].dtype == rows.dtype) return rows.parts[0];
  return rows;
}

}  // namespace

TensorEntry rows_of(const TensorEntry& entry, int64_t first, int64_t count) {
  SWITCHYARD_CHECK(!entry.shape.empty() && first >= 0 && count >= 0 &&
                   count <= entry.shape[0] - first);
  if (!entry.parts.empty()) return rows_of_parts(entry, first, count);
  if (!entry.extents.empty()) return rows_of_extents(entry, first, count);
  TensorEntry rows = entry;
  rows.shape[0] = count;
  int64_t row_elements = 1;
  for (size_t i = 1; i < entry.shape.size(); ++i) row_elements *= entry.shape[i];
  switch (entry.encoding) {
    case TensorEncoding::kPlain:
      rows.offset += first * entry.strides[0] * size_of(entry.dtype);
      break;
    case TensorEncoding::kFp8Block:
      rows.offset += first * row_elements;
      rows.first_row += first;
      break;
    case TensorEncoding::kMxfp4:
      rows.offset += first * row_elements / 2;
      rows.scale[0] = rows_of(entry.scale[0], first, count);
      break;
    case TensorEncoding::kPacked:
      SWITCHYARD_CHECK(false, "rows of a packed tensor");
  }
  return rows;
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
  const int64_t row = tensor.entry.strides[0];
  if (tensor.entry.extents.empty()) {
    rows.entry = rows_of(tensor.entry, first, count);
    rows.places[0].first += first * row;
    return rows;
  }
  rows.entry.shape[0] = count;
  std::vector<TensorRun> runs;
  for (size_t i = 0; i < tensor.entry.extents.size(); ++i) {
    runs.push_back({tensor.entry.extents[i], tensor.places[i]});
  }
  set_runs(cut_runs(runs, size_of(tensor.entry.dtype), first * row, count * row), rows);
  return rows;
}

}  // namespace switchyard
