#include "parallel/communicator.h"

#include "kernels/base/error.h"

namespace switchyard {

std::string CollectiveLabel::text() const {
  std::string text;
  const auto append = [&](const char* name, int64_t value) {
    if (value >= 0) text += concat(text.empty() ? "" : ", ", name, value);
  };
  append("step ", step);
  append("layer ", layer);
  append("round ", round);
  return text + (text.empty() ? "" : ", ") + phase;
}

}  // namespace switchyard
