#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/checkpoint/torch_container.h"
#include "runtime/checkpoint/zip_reader.h"

namespace switchyard {
namespace {

/// The folder all entries of the archive lie in, with its slash.
std::string archive_root(const RandomFile& file, const ZipReader& zip) {
  const std::string first = zip.entries().empty() ? "" : zip.entries()[0].name;
  const size_t slash = first.find('/');
  if (slash == std::string::npos) {
    fail_input(file.path(), ": a zip archive, but not one of torch.save: its first entry is '",
               printable(first), "'");
  }
  return first.substr(0, slash + 1);
}

void check_archive(const RandomFile& file, const ZipReader& zip, const std::string& root) {
  if (zip.find(root + "constants.pkl") != nullptr) {
    fail_input(file.path(), ": is a TorchScript program; expected a checkpoint of torch.save");
  }
  if (zip.find(root + "data.pkl") == nullptr) {
    fail_input(file.path(), ": a zip archive, but not one of torch.save: it has no '",
               printable(root), "data.pkl'");
  }
  const ZipEntry* order = zip.find(root + "byteorder");
  if (order == nullptr) return;  // writers before torch 2.1 were little-endian
  const std::vector<char> text = zip.read(*order, 16);
  if (std::string_view(text.data(), text.size()) != "little") {
    fail_input(file.path(), ": its byte order is '", printable({text.data(), text.size()}),
               "'; only 'little' is supported");
  }
}

}  // namespace

TorchContainer read_zip_container(RandomFile& file) {
  const ZipReader zip(file);
  const std::string root = archive_root(file, zip);
  check_archive(file, zip, root);
  const PickleLimits limits;
  std::vector<char> bytes =
      zip.read(*zip.find(root + "data.pkl"), static_cast<int64_t>(limits.max_bytes));
  TorchContainer container{
      Pickle::parse(std::move(bytes), file.path() + ": data.pkl", limits), {}, root + "data/"};
  for (const ZipEntry& entry : zip.entries()) {
    if (!entry.name.starts_with(container.storage_prefix)) continue;
    container.storages.emplace(entry.name.substr(container.storage_prefix.size()),
                               StorageRange{entry.offset, entry.size, entry.crc32});
  }
  return container;
}

}  // namespace switchyard
