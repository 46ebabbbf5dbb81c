#include "launch/signals.h"

#include <unistd.h>

#include <csignal>
#include <cstddef>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

// Read by the handler: written once, before it is installed.
const char* g_text = nullptr;
size_t g_text_bytes = 0;

/// Only what is safe in a signal handler.
void write_and_end(int signal) {
  [[maybe_unused]] const auto written = write(STDERR_FILENO, g_text, g_text_bytes);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

}  // namespace

void tell_when_interrupted(const std::string& message) {
  static const std::string text = concat("\nswitchyard: ", message, "\n");
  g_text = text.data();
  g_text_bytes = text.size();
  std::signal(SIGINT, write_and_end);
  std::signal(SIGTERM, write_and_end);
}

}  // namespace switchyard
