#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/strided_read.h"

namespace switchyard {

class TensorReader::File : public RandomFile {
 public:
  using RandomFile::RandomFile;
};

TensorReader::TensorReader(const CheckpointIndex& index)
    : index_(index), files_(index.files.size()) {}

TensorReader::~TensorReader() = default;

TensorReader::File& TensorReader::open(int32_t number) {
  std::unique_ptr<File>& file = files_.at(static_cast<size_t>(number));
  if (file == nullptr) {
    const CheckpointFile& expected = index_.files[static_cast<size_t>(number)];
    file = std::make_unique<File>(expected.path);
    if (file->identity() != expected.identity) {
      fail_input(expected.path, ": is another file here than where its header was read; put the ",
                 "same checkpoint on every host, and do not change it during a run");
    }
  }
  return *file;
}

void TensorReader::read(const std::string& name, const TensorEntry& entry, int64_t first,
                        int64_t count, void* to) {
  SWITCHYARD_CHECK(first >= 0 && count >= 0 && count <= entry.num_elements() - first, name);
  if (count == 0) return;
  const std::string what = concat("tensor '", printable(name), "'");
  if (!entry.extents.empty()) {
    return read_extents(entry, first, count, static_cast<char*>(to), what);
  }
  File& file = open(entry.file);
  const int64_t item = size_of(entry.dtype);
  const int64_t before = file.bytes_read();
  if (entry.is_contiguous()) {
    file.read_at(entry.offset + first * item, count * item, to, what);
  } else {
    strided_read(file, entry, first, count, to, what);
  }
  bytes_read_ += file.bytes_read() - before;
}

void TensorReader::read_extents(const TensorEntry& entry, int64_t first, int64_t count, char* to,
                                const std::string& what) {
  const int64_t item = size_of(entry.dtype);
  for (const TensorExtent& extent : entry.extents) {
    const int64_t skip = std::min(first, extent.count);
    const int64_t part = std::min(count, extent.count - skip);
    first -= skip;
    if (part == 0) continue;
    File& file = open(extent.file);
    file.read_at(extent.offset + skip * item, part * item, to, what);
    bytes_read_ += part * item;
    to += part * item;
    count -= part;
  }
  SWITCHYARD_CHECK(count == 0, what);
}

}  // namespace switchyard
