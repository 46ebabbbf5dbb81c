#if defined(__x86_64__)

#include "kernels/cpu/simd/vec_avx512.h"
#include "tests/kernels/simd_probe_impl.h"

namespace switchyard {

const SimdProbe& avx512_probe() { return Probed<cpu::avx512::Vec>::kProbe; }

}  // namespace switchyard

#endif
