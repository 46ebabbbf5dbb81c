#include "kernels/cpu/rows.h"

#include <cstring>

#include "kernels/base/error.h"
#include "kernels/cpu/op_context.h"
#include "kernels/ops.h"

namespace switchyard::cpu {
namespace {

/// Whether row i has one on the other side.
bool has_row(const char* op, const CopyRowsParams& params, int64_t i) {
  const int64_t row = params.index[i];
  if (row == kNoRow) return false;
  SWITCHYARD_CHECK(row >= 0 && row < params.indexed_rows, op, ": index[", i, "] is ", row, " of ",
                   params.indexed_rows, " rows");
  return true;
}

}  // namespace

void gather_rows(OpContext& context, const CopyRowsParams& params) {
  const auto* from = static_cast<const char*>(params.from);
  auto* to = static_cast<char*>(params.to);
  const auto size = static_cast<size_t>(params.row_bytes);
  for_row_ranges(context, params.count, params.row_bytes / 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      if (!has_row("gather_rows", params, i)) continue;
      std::memcpy(to + i * params.row_bytes, from + params.index[i] * params.row_bytes, size);
    }
  });
}

void scatter_rows(OpContext& context, const CopyRowsParams& params) {
  const auto* from = static_cast<const char*>(params.from);
  auto* to = static_cast<char*>(params.to);
  const auto size = static_cast<size_t>(params.row_bytes);
  for_row_ranges(context, params.count, params.row_bytes / 4, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      if (!has_row("scatter_rows", params, i)) continue;
      std::memcpy(to + params.index[i] * params.row_bytes,
                  from + i / params.copies * params.row_bytes, size);
    }
  });
}

}  // namespace switchyard::cpu
