// Rotary positions.
#pragma once

#include <cstdint>

#include "kernels/column_addresses.h"
#include "kernels/ops.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct RopeTableParams {
  const int32_t* positions = nullptr;      // [num_rows]
  const int32_t* frequency_set = nullptr;  // [num_rows]
  const float* frequencies = nullptr;      // [num_sets, half]
  const float* scales = nullptr;           // [num_sets]
  float* out = nullptr;                    // [num_rows, 2 half]
  int64_t num_rows = 0;
  int64_t num_sets = 0;
  int64_t half = 0;
};

/// One row of the table.
struct RopeTableRow {
  float position = 0.0f;
  const float* frequencies = nullptr;  // [half]
  float scale = 1.0f;
  float* out = nullptr;  // [2 half]
  int64_t half = 0;
};

/// See RopeTableArgs. The position is rounded to fp32, the angle as well; its cosine and sine are
/// those of exact_math.h, rounded to fp32, for angles up to 2^40 (NaN beyond); then the product
/// with the scale is rounded. A frequency set out of range is an internal error.
void rope_table(OpContext& context, const RopeTableParams& params);

struct RopeParams {
  ColumnAddresses x;
  ColumnAddresses out;           // may be x
  const float* table = nullptr;  // [num_rows, 2 half]
  int64_t num_rows = 0;
  int64_t half = 0;
  RopeLayout layout = RopeLayout::kHalves;
};

/// One head of one row.
struct RopeHead {
  const float* x = nullptr;      // [2 half]
  const float* table = nullptr;  // [2 half]
  float* out = nullptr;          // [2 half], may be x
  int64_t half = 0;
  RopeLayout layout = RopeLayout::kHalves;
};

/// See RopeArgs. (a, b) -> (fma(-b, sin, a cos), fma(a, sin, b cos)), the product with cos rounded
/// first.
void rope(OpContext& context, const RopeParams& params);

}  // namespace switchyard::cpu
