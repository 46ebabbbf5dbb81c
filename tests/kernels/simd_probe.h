// The vector types and their functions behind plain function pointers, one list an instruction
// set, so that tests compiled for any machine can compare them.
#pragma once

#include <cstdint>

namespace switchyard {

/// A function of sixteen lanes; operands that it does not have are ignored.
struct LaneFunction {
  const char* name;
  void (*run)(const float* a, const float* b, const float* c, float* out);
};

struct SimdProbe {
  const LaneFunction* functions;
  int num_functions;
  void (*load_f16)(const uint16_t* from, float* out);
  void (*load_bf16)(const uint16_t* from, float* out);
  /// The integers that IntVec loads, stored as they are.
  void (*load_u8)(const uint8_t* from, uint32_t* out);
  void (*load_u16)(const uint16_t* from, uint32_t* out);
  void (*load_u32)(const uint32_t* from, uint32_t* out);
  void (*load_partial)(const float* from, int n, float* out);
  void (*store_partial)(const float* from, int n, float* out);
  uint32_t (*first_lanes)(int n);
  /// The functions of kernels/cpu/math.h.
  const LaneFunction* math;
  int num_math;
};

const SimdProbe& portable_probe();
#if defined(__x86_64__)
const SimdProbe& avx2_probe();
const SimdProbe& avx512_probe();
#endif

}  // namespace switchyard
