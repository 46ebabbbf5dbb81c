#include "kernels/backend.h"

namespace switchyard {

void Backend::use(const ArithmeticClass& chosen) {
  if (chosen.arithmetic == Arithmetic::kFp32) return;
  fail_usage(description(), " computes in ", arithmetic_class(), " only");
}

}  // namespace switchyard
