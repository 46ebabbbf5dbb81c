#include "kernels/cpu/kernels.h"

#include "kernels/base/error.h"
#include "kernels/cpu/instruction_set.h"
#include "kernels/cpu/kernel_tables.h"

namespace switchyard {

const CpuKernels& cpu_kernels(InstructionSet set) {
  if (set == InstructionSet::kAuto) set = best_instruction_set();
  if (!is_supported(set)) {
    fail_usage("this machine does not execute ", name_of(set), "; its best instruction set is ",
               name_of(best_instruction_set()), " (--instruction-set auto takes it)");
  }
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return cpu::kAvx512Kernels;
  if (set == InstructionSet::kAvx2) return cpu::kAvx2Kernels;
#endif
  return cpu::kPortableKernels;
}

}  // namespace switchyard
