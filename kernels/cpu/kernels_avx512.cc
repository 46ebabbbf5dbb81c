#if defined(__x86_64__)

#include "kernels/cpu/kernel_tables.h"
#include "kernels/cpu/kernels_impl.h"
#include "kernels/cpu/simd/vec_avx512.h"

namespace switchyard::cpu {

constinit const CpuKernels kAvx512Kernels = make_kernels<avx512::Vec>(InstructionSet::kAvx512);

}  // namespace switchyard::cpu

#endif
