// The tables behind cpu_kernels(). Use cpu_kernels(): it asks whether the machine can run them.
#pragma once

#include "kernels/cpu/kernels.h"

namespace switchyard::cpu {

extern const CpuKernels kPortableKernels;
#if defined(__x86_64__)
extern const CpuKernels kAvx2Kernels;
extern const CpuKernels kAvx512Kernels;
#endif

}  // namespace switchyard::cpu
