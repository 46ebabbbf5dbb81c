#include <algorithm>
#include <cstring>

#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {
namespace {

/// Walks the elements of a tensor in row-major order, keeping where each lies.
class ElementWalk {
 public:
  ElementWalk(const TensorEntry& entry, int64_t first) : entry_(entry), index_(entry.shape.size()) {
    for (size_t i = index_.size(); i-- > 0;) {
      index_[i] = first % entry.shape[i];
      first /= entry.shape[i];
      place_ += index_[i] * entry.strides[i];
    }
  }

  /// Elements between the tensor's first element and the current one in the file.
  int64_t place() const { return place_; }

  void next() {
    for (size_t i = index_.size(); i-- > 0;) {
      place_ += entry_.strides[i];
      if (++index_[i] < entry_.shape[i]) return;
      place_ -= entry_.shape[i] * entry_.strides[i];
      index_[i] = 0;
    }
  }

 private:
  const TensorEntry& entry_;
  std::vector<int64_t> index_;
  int64_t place_ = 0;
};

}  // namespace

class TensorReader::File : public RandomFile {
 public:
  using RandomFile::RandomFile;
};

TensorReader::TensorReader(const CheckpointIndex& index)
    : index_(index), files_(index.files.size()) {}

TensorReader::~TensorReader() = default;

void TensorReader::read(const std::string& name, const TensorEntry& entry, int64_t first,
                        int64_t count, void* to) {
  SWITCHYARD_CHECK(first >= 0 && count >= 0 && count <= entry.num_elements() - first, name);
  if (count == 0) return;
  std::unique_ptr<File>& file = files_.at(static_cast<size_t>(entry.file));
  if (file == nullptr) {
    const CheckpointFile& expected = index_.files[static_cast<size_t>(entry.file)];
    file = std::make_unique<File>(expected.path);
    if (file->identity() != expected.identity) {
      fail_input(expected.path, ": is another file here than where its header was read; put the ",
                 "same checkpoint on every host, and do not change it during a run");
    }
  }
  const int64_t item = size_of(entry.dtype);
  const std::string what = concat("tensor '", printable(name), "'");
  const int64_t before = file->bytes_read();
  if (entry.is_contiguous()) {
    file->read_at(entry.offset + first * item, count * item, to, what);
    bytes_read_ += file->bytes_read() - before;
    return;
  }
  // Strides are never negative, but rows may interleave: read the span of all elements once.
  int64_t low = INT64_MAX;
  int64_t high = 0;
  ElementWalk survey(entry, first);
  for (int64_t i = 0; i < count; ++i, survey.next()) {
    low = std::min(low, survey.place());
    high = std::max(high, survey.place());
  }
  std::vector<char> span(static_cast<size_t>((high - low + 1) * item));
  file->read_at(entry.offset + low * item, static_cast<int64_t>(span.size()), span.data(), what);
  bytes_read_ += file->bytes_read() - before;
  ElementWalk walk(entry, first);
  char* out = static_cast<char*>(to);
  for (int64_t i = 0; i < count; ++i, walk.next(), out += item) {
    std::memcpy(out, span.data() + (walk.place() - low) * item, static_cast<size_t>(item));
  }
}

}  // namespace switchyard
