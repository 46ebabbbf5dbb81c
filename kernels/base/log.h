// Messages for people. They go to stderr only: stdout belongs to results.
#pragma once

#include <string>
#include <string_view>

#include "kernels/base/error.h"

namespace switchyard {

enum class LogLevel { kError = 0, kWarning = 1, kInfo = 2, kDebug = 3 };

/// The process's least important level that is still written. Default kInfo.
void set_log_level(LogLevel level);
LogLevel log_level();

/// Text that stands before each line of this process, as "[rank 1/4] ". Default empty.
void set_log_prefix(std::string prefix);

/// Writes one line, atomically with respect to the other threads of the process.
void log_line(LogLevel level, const std::string& text);

template <typename... Parts>
void log_info(Parts&&... parts) {
  if (log_level() >= LogLevel::kInfo) {
    log_line(LogLevel::kInfo, concat(std::forward<Parts>(parts)...));
  }
}

template <typename... Parts>
void log_warning(Parts&&... parts) {
  if (log_level() >= LogLevel::kWarning) {
    log_line(LogLevel::kWarning, concat(std::forward<Parts>(parts)...));
  }
}

}  // namespace switchyard
