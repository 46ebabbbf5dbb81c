// Rows picked and placed by index.
#pragma once

#include <cstdint>

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

/// `count` rows of `row_bytes` each; index[i] picks the row of the other side, which has
/// `indexed_rows`, and leaves row i out where it is kNoRow.
struct CopyRowsParams {
  const void* from = nullptr;
  void* to = nullptr;
  const int32_t* index = nullptr;
  int64_t count = 0;
  int64_t indexed_rows = 0;
  int64_t row_bytes = 0;
  int64_t copies = 1;  // of scatter_rows: that each of from's rows stands for
};

/// to[i] = from[index[i]]. An index out of range is an internal error.
void gather_rows(OpContext& context, const CopyRowsParams& params);
/// to[index[i]] = from[i / copies]. As gather_rows; no index stands twice.
void scatter_rows(OpContext& context, const CopyRowsParams& params);

}  // namespace switchyard::cpu
