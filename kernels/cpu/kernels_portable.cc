#include "kernels/cpu/kernel_tables.h"
#include "kernels/cpu/kernels_impl.h"
#include "kernels/cpu/simd/vec_portable.h"

namespace switchyard::cpu {

constinit const CpuKernels kPortableKernels =
    make_kernels<portable::Vec>(InstructionSet::kPortable);

}  // namespace switchyard::cpu
