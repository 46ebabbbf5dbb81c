#include "kernels/cpu/simd/vec_portable.h"
#include "tests/kernels/simd_probe_impl.h"

namespace switchyard {

const SimdProbe& portable_probe() { return Probed<cpu::portable::Vec>::kProbe; }

}  // namespace switchyard
