#if defined(__x86_64__)

#include "kernels/cpu/kernel_tables.h"
#include "kernels/cpu/kernels_impl.h"
#include "kernels/cpu/simd/vec_avx2.h"

namespace switchyard::cpu {

constinit const CpuKernels kAvx2Kernels = make_kernels<avx2::Vec>(InstructionSet::kAvx2);

}  // namespace switchyard::cpu

#endif
