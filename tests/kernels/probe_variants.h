// The SimdProbe of each instruction set of this machine.
#pragma once

#include "tests/kernels/cpu_variants.h"
#include "tests/kernels/simd_probe.h"

namespace switchyard {

inline const SimdProbe& probe_of(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return avx512_probe();
  if (set == InstructionSet::kAvx2) return avx2_probe();
#endif
  return portable_probe();
}

}  // namespace switchyard
