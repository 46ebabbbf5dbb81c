// Some columns of each head of rows, on the host.
#pragma once

#include <cstdint>

namespace switchyard::cpu {

/// HeadColumns as addresses.
struct HostColumns {
  float* data = nullptr;  // the first of the columns in row 0, head 0
  int64_t row_stride = 0;
  int64_t head_stride = 0;
  int64_t num_heads = 1;

  float* at(int64_t row, int64_t head) const {
    return data + row * row_stride + head * head_stride;
  }
};

}  // namespace switchyard::cpu
