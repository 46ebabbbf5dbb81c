#include "runtime/tokenizer/text_file.h"

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxBytes = int64_t{256} << 20;

}  // namespace

std::string read_text_file(const std::string& path, const std::string& help) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    fail_input(path, " is a directory, not a file: ", help);
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_input("cannot open ", path, " (", std::strerror(errno), "): ", help);
  std::string text;
  std::string block(1 << 16, '\0');
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())), file.gcount() > 0) {
    text.append(block, 0, static_cast<size_t>(file.gcount()));
    if (static_cast<int64_t>(text.size()) > kMaxBytes) {
      fail_input(path, " is longer than ", kMaxBytes, " bytes: ", help);
    }
  }
  if (file.bad()) fail_input("cannot read ", path, " (", std::strerror(errno), ")");
  return text;
}

}  // namespace switchyard
