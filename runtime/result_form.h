// How a command shows its result.
#pragma once

#include <cstdint>

namespace switchyard {

enum class ResultForm : uint8_t {
  kTable,  ///< for people
  kJson,   ///< one JSON object in one line
};

}  // namespace switchyard
