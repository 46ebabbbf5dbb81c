#include "kernels/cpu/instruction_set.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace switchyard {

#if defined(__x86_64__)
namespace {

/// Clang's __builtin_cpu_supports does not know the name.
bool has_f16c() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

}  // namespace
#endif

bool is_supported(InstructionSet set) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  // __builtin_cpu_supports also asks whether the operating system saves the registers.
  const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") &&
                          __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
#else
  const bool has_avx2 = false;
  const bool has_avx512 = false;
#endif
  switch (set) {
    case InstructionSet::kAvx512:
      return has_avx512;
    case InstructionSet::kAvx2:
      return has_avx2;
    case InstructionSet::kAuto:
    case InstructionSet::kPortable:
      break;
  }
  return true;
}

InstructionSet best_instruction_set() {
  if (is_supported(InstructionSet::kAvx512)) return InstructionSet::kAvx512;
  if (is_supported(InstructionSet::kAvx2)) return InstructionSet::kAvx2;
  return InstructionSet::kPortable;
}

std::string_view name_of(InstructionSet set) {
  switch (set) {
    case InstructionSet::kAuto:
      return "auto";
    case InstructionSet::kAvx512:
      return "avx512";
    case InstructionSet::kAvx2:
      return "avx2";
    case InstructionSet::kPortable:
      return "portable";
  }
  return "unknown";
}

}  // namespace switchyard
