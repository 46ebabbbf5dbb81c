#include "kernels/base/log.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <mutex>

namespace switchyard {
namespace {

std::atomic<LogLevel> g_level{LogLevel::kInfo};
std::mutex g_mutex;
std::string& prefix() {
  static std::string value;
  return value;
}

const char* name_of(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error: ";
    case LogLevel::kWarning:
      return "warning: ";
    case LogLevel::kInfo:
      return "";
    case LogLevel::kDebug:
      return "debug: ";
  }
  return "";
}

}  // namespace

void set_log_level(LogLevel level) { g_level = level; }
LogLevel log_level() { return g_level; }

void set_log_prefix(std::string text) {
  const std::lock_guard lock(g_mutex);
  prefix() = std::move(text);
}

void log_line(LogLevel level, const std::string& text) {
  const std::lock_guard lock(g_mutex);
  // A progress bar may stand on the terminal's last line: write over it and clear what is left.
  static const bool is_terminal = isatty(STDERR_FILENO) != 0;
  const std::string line = concat(is_terminal ? "\r" : "", prefix(), name_of(level), text,
                                  is_terminal ? "\x1b[K\n" : "\n");
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace switchyard
