#include "kernels/backend.h"

namespace switchyard {

void Backend::use(Arithmetic arithmetic) {
  if (arithmetic == Arithmetic::kFp32) return;
  fail_usage(description(), " computes in ", arithmetic_class(), " only");
}

}  // namespace switchyard
