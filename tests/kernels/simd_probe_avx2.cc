#if defined(__x86_64__)

#include "kernels/cpu/simd/vec_avx2.h"
#include "tests/kernels/simd_probe_impl.h"

namespace switchyard {

const SimdProbe& avx2_probe() { return Probed<cpu::avx2::Vec>::kProbe; }

}  // namespace switchyard

#endif
