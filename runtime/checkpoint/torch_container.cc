#include "runtime/checkpoint/torch_container.h"

#include <algorithm>
#include <string_view>

#include "kernels/base/error.h"

namespace switchyard {

TorchContainer read_torch_container(RandomFile& file) {
  constexpr std::string_view kZip = "PK\x03\x04";
  // The number 0x1950a86a20f9469cfc6c, which the first pickle of the older container holds behind
  // an opcode or two.
  constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  constexpr size_t kLegacyWindow = 32;
  constexpr size_t kTarMagicAt = 257;
  constexpr std::string_view kTarMagic = "ustar";
  if (file.size() == 0) {
    fail_input(file.path(), ": the file is empty; fetch or save the checkpoint again");
  }
  char bytes[kTarMagicAt + kTarMagic.size()] = {};
  const int64_t length = std::min<int64_t>(file.size(), sizeof(bytes));
  file.read_at(0, length, bytes, "the start of the file");
  const std::string_view start(bytes, static_cast<size_t>(length));
  if (start.starts_with(kZip)) return read_zip_container(file);
  if (start[0] == '\x80' && start.substr(0, kLegacyWindow).find(kLegacyMagic) != start.npos) {
    return read_legacy_container(file);
  }
  if (start.ends_with(kTarMagic) && start.size() == sizeof(bytes)) {
    fail_input(file.path(),
               ": is in torch's oldest container, a tar archive (before torch 0.2), which is not "
               "read; load it with torch and save it again with torch.save(obj, path)");
  }
  constexpr size_t kShown = 16;
  fail_input(file.path(), ": is not a torch checkpoint: it starts with '",
             printable(start.substr(0, kShown)), "'; expected a file written by torch.save");
}

}  // namespace switchyard
