// Arguments of benchmarks: pairs of a name and a value.
#pragma once

#include <map>
#include <string>
#include <type_traits>

#include "kernels/base/error.h"

namespace switchyard {

/// "--name value" pairs, each taken once.
class Arguments {
 public:
  Arguments(int argc, char** argv) : is_odd_(argc % 2 == 0) {
    for (int i = 1; i + 1 < argc; i += 2) given_[argv[i]] = argv[i + 1];
  }

  /// Sets `value`, a text or a number, if the name was given.
  template <typename Value>
  void take(const char* name, Value& value) {
    const auto found = given_.find(name);
    if (found == given_.end()) return;
    if constexpr (std::is_same_v<Value, std::string>) {
      value = found->second;
    } else {
      value = static_cast<Value>(std::stoll(found->second));
    }
    given_.erase(found);
  }

  /// Throws Error(kUsage) naming the source file if something was not taken.
  void finish(const char* source) const {
    if (is_odd_ || !given_.empty()) fail_usage("unknown argument; see ", source);
  }

 private:
  bool is_odd_ = false;
  std::map<std::string, std::string> given_;
};

}  // namespace switchyard
