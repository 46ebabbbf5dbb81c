// Search for infinities and NaN.
#pragma once

#include <cstdint>

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

struct FindNonFiniteParams {
  const float* x = nullptr;  // [num_rows, width]
  int64_t num_rows = 0;
  int64_t width = 0;
  int32_t* first_row = nullptr;  // [1]
};

/// first_row[0] = the lowest row that holds an infinity or NaN, else -1.
void find_non_finite(OpContext& context, const FindNonFiniteParams& params);

}  // namespace switchyard::cpu
