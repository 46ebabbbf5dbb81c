#include "kernels/base/error.h"

namespace switchyard {

void fail_check(const char* condition, const char* file, int line, const std::string& detail) {
  throw Error(ErrorKind::kInternal,
              concat("internal error at ", file, ":", line, ": ", condition,
                     detail.empty() ? "" : " (", detail, detail.empty() ? "" : ")",
                     "; this is a fault of switchyard, please report it"));
}

}  // namespace switchyard
