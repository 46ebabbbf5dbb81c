#include "runtime/requests/run_files.h"

#include <filesystem>

#include "kernels/base/error.h"

namespace switchyard {

bool can_read_twice(const std::string& input) {
  return input != "-" &&
         !(std::filesystem::exists(input) && !std::filesystem::is_regular_file(input) &&
           !std::filesystem::is_directory(input));
}

void require_other_file(const std::string& input, const std::string& output) {
  namespace fs = std::filesystem;
  for (const char* suffix : {"", ".partial", ".meta.json", ".partial.meta.json"}) {
    std::error_code error;
    if (fs::is_regular_file(input, error) && fs::equivalent(input, output + suffix, error)) {
      fail_usage("--input ", input, " is a file that --output ", output,
                 " would overwrite; give another --output");
    }
  }
}

}  // namespace switchyard
