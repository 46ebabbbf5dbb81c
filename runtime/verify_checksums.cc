#include "runtime/verify_checksums.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// Something with a checksum of its own, and what it is.
using Part = std::pair<PackedExtent, std::string>;

std::vector<Part> parts_of(const Checkpoint& checkpoint) {
  const NativeLayout& native = *checkpoint.native;
  std::vector<Part> parts = {
      {{0, 0, checkpoint.index.files.at(0).bytes, native.dense_crc32}, "the file"}};
  const std::vector<int> layers = checkpoint.config.moe_layers();
  for (size_t i = 0; i < native.experts.size(); ++i) {
    for (size_t expert = 0; expert < native.experts[i].size(); ++expert) {
      parts.emplace_back(native.experts[i][expert],
                         concat("expert ", expert, " of layer ", layers[i]));
    }
  }
  for (const auto& [name, extent] : native.matrices) parts.emplace_back(extent, "matrix " + name);
  return parts;
}

/// Reads parts by one thread.
class Verifier {
 public:
  explicit Verifier(const CheckpointIndex& index) : index_(index), files_(index.files.size()) {}

  void verify(const Part& part) {
    const auto& [extent, what] = part;
    std::unique_ptr<RandomFile>& file = files_.at(static_cast<size_t>(extent.file));
    if (file == nullptr) {
      file = std::make_unique<RandomFile>(index_.files[static_cast<size_t>(extent.file)].path,
                                          FileCaching::kDirect);
    }
    uLong crc = 0;
    for (int64_t done = 0; done < extent.bytes; done += buffer_.bytes()) {
      const int64_t now = std::min(buffer_.bytes(), extent.bytes - done);
      file->read_at(extent.offset + done, now, buffer_.data(), what);
      crc = crc32_z(crc, buffer_.as<Bytef>(), static_cast<size_t>(now));
    }
    if (crc == extent.crc32) return;
    fail_input(file->path(), ": ", what, ", ", extent.bytes, " bytes from byte ", extent.offset,
               ", is damaged: its checksum is ", crc, ", not ", extent.crc32,
               "; copy the folder again, or convert the original again");
  }

 private:
  const CheckpointIndex& index_;
  std::vector<std::unique_ptr<RandomFile>> files_;
  const AlignedBuffer buffer_{int64_t{16} << 20};
};

}  // namespace

int64_t verify_checksums(const Checkpoint& checkpoint, ControlChannel& control) {
  constexpr CollectiveLabel kLabel{.phase = "checksums", .patience = Patience::kForever};
  int64_t bytes = 0;
  control.agree(
      [&] {
        const std::vector<Part> parts = parts_of(checkpoint);
        Verifier verifier(checkpoint.index);
        for (auto i = static_cast<size_t>(control.rank()); i < parts.size();
             i += static_cast<size_t>(control.size())) {
          verifier.verify(parts[i]);
          bytes += parts[i].first.bytes;
        }
      },
      kLabel);
  return control.all_sum(bytes, kLabel);
}

}  // namespace switchyard
