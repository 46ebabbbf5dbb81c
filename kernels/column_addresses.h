// Some columns of each head of rows, as a kernel finds them.
#pragma once

#include <cstdint>

#include "kernels/base/device_code.h"

namespace switchyard {

/// HeadColumns as addresses.
struct ColumnAddresses {
  float* data = nullptr;  // the first of the columns in row 0, head 0
  int64_t row_stride = 0;
  int64_t head_stride = 0;
  int64_t num_heads = 1;

  SWITCHYARD_DEVICE float* at(int64_t row, int64_t head) const {
    return data + row * row_stride + head * head_stride;
  }
};

}  // namespace switchyard
