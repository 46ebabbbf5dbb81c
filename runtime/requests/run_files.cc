#include "runtime/requests/run_files.h"

#include <filesystem>
#include <system_error>

#include "kernels/base/error.h"

namespace switchyard {

bool can_read_twice(const std::string& input) {
  // What cannot be told is left to whoever opens it, with a better message.
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(input, error);
  const bool is_stream = std::filesystem::exists(status) &&
                         !std::filesystem::is_regular_file(status) &&
                         !std::filesystem::is_directory(status);
  return input != "-" && !is_stream;
}

void require_other_files(const std::vector<std::string>& read, const std::string& output,
                         const char* option) {
  namespace fs = std::filesystem;
  for (const char* suffix : {"", ".partial", ".meta.json", ".partial.meta.json", ".tmp"}) {
    std::error_code error;
    if (!fs::is_regular_file(output + suffix, error)) continue;
    for (const std::string& path : read) {
      if (path.empty() || !fs::equivalent(path, output + suffix, error) || error) continue;
      fail_usage(option, " ", output, " would overwrite ", path, ", which this run reads; give ",
                 "another ", option);
    }
  }
}

}  // namespace switchyard
