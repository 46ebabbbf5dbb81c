#include "runtime/checkpoint/strided_read.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <vector>

namespace switchyard {
namespace {

/// A gap up to this size is read over: a disk reads whole pages anyway.
constexpr int64_t kShortGapBytes = 4096;

/// One loop over elements.
struct Loop {
  int64_t size = 0;
  int64_t file_step = 0;    // elements of the file from one turn to the next
  int64_t result_step = 0;  // elements of the result
};

/// Copies nested loops of elements from a file, outermost first, in the order of the file.
class LoopReader {
 public:
  LoopReader(RandomFile& file, const TensorEntry& entry, const std::string& what, char* to,
             int64_t staging_bytes)
      : file_(file),
        offset_(entry.offset),
        item_(size_of(entry.dtype)),
        what_(what),
        to_(to),
        staging_bytes_(std::max(staging_bytes, item_)) {}

  /// `place` and `result`: the first element, in the file and in the result.
  void read(std::vector<Loop> loops, int64_t place, int64_t result) {
    std::erase_if(loops, [](const Loop& loop) { return loop.size == 1; });
    std::stable_sort(loops.begin(), loops.end(),
                     [](const Loop& a, const Loop& b) { return a.file_step > b.file_step; });
    loops_ = std::move(loops);
    read_from(0, place, result);
  }

 private:
  /// Elements of the file from the first to the last of the loops from `depth` on.
  int64_t span(size_t depth) const {
    int64_t elements = 1;
    for (; depth < loops_.size(); ++depth) {
      elements += (loops_[depth].size - 1) * loops_[depth].file_step;
    }
    return elements;
  }

  void read_from(size_t depth, int64_t place, int64_t result);
  void read_band(size_t depth, int64_t turns, int64_t place, int64_t result);
  void scatter(size_t depth, int64_t turns, const char* from, char* to) const;

  RandomFile& file_;
  const int64_t offset_;
  const int64_t item_;
  const std::string& what_;
  char* const to_;
  const int64_t staging_bytes_;
  std::vector<Loop> loops_;
  std::vector<char> band_;
};

void LoopReader::read_from(size_t depth, int64_t place, int64_t result) {
  if (depth == loops_.size()) return read_band(depth, 1, place, result);
  const Loop& loop = loops_[depth];
  const int64_t inner = span(depth + 1);
  const int64_t gap = std::max(int64_t{0}, loop.file_step - inner) * item_;
  // Turns that are read as one band.
  int64_t turns = 1;
  if (gap <= std::max(kShortGapBytes, inner * item_)) {
    const int64_t spare = staging_bytes_ / item_ - inner;
    if (spare >= 0) turns = loop.file_step == 0 ? loop.size : spare / loop.file_step + 1;
  }
  const bool inner_fits = inner <= staging_bytes_ / item_;
  for (int64_t i = 0; i < loop.size; i += turns) {
    const int64_t now = std::min(turns, loop.size - i);
    const int64_t at = place + i * loop.file_step;
    const int64_t to = result + i * loop.result_step;
    if (now > 1 && inner_fits) {
      read_band(depth, now, at, to);
    } else {
      read_from(depth + 1, at, to);
    }
  }
}

void LoopReader::read_band(size_t depth, int64_t turns, int64_t place, int64_t result) {
  int64_t elements = 1;
  if (depth < loops_.size()) elements = (turns - 1) * loops_[depth].file_step + span(depth + 1);
  band_.resize(static_cast<size_t>(elements * item_));
  file_.read_at(offset_ + place * item_, elements * item_, band_.data(), what_);
  scatter(depth, turns, band_.data(), to_ + result * item_);
}

void LoopReader::scatter(size_t depth, int64_t turns, const char* from, char* to) const {
  if (depth == loops_.size()) {
    std::memcpy(to, from, static_cast<size_t>(item_));
    return;
  }
  const int64_t file_step = loops_[depth].file_step * item_;
  const int64_t result_step = loops_[depth].result_step * item_;
  const bool innermost = depth + 1 == loops_.size();
  for (int64_t i = 0; i < turns; ++i, from += file_step, to += result_step) {
    if (innermost) {
      std::memcpy(to, from, static_cast<size_t>(item_));
    } else {
      scatter(depth + 1, loops_[depth + 1].size, from, to);
    }
  }
}

/// Cuts a range of elements in row-major order into nested loops: part of a row, whole rows, part
/// of a row, for every dimension.
class RangeCutter {
 public:
  using Visit = std::function<void(std::vector<Loop> loops, int64_t place, int64_t result)>;

  RangeCutter(const TensorEntry& entry, Visit visit) : entry_(entry), visit_(std::move(visit)) {
    below_.assign(entry.shape.size() + 1, 1);
    for (size_t i = entry.shape.size(); i-- > 0;) below_[i] = below_[i + 1] * entry.shape[i];
  }

  void cut(int64_t first, int64_t count) { cut(0, first, count, 0, 0); }

 private:
  void cut(size_t dim, int64_t first, int64_t count, int64_t place, int64_t result) {
    if (count == 0) return;
    if (dim == entry_.shape.size()) return visit_({}, place, result);
    const int64_t row_elements = below_[dim + 1];
    int64_t row = first / row_elements;
    const int64_t head = std::min(count, (row_elements - first % row_elements) % row_elements);
    cut(dim + 1, first % row_elements, head, place + row * entry_.strides[dim], result);
    if (head > 0) ++row;
    const int64_t rows = (count - head) / row_elements;
    if (rows > 0) {
      std::vector<Loop> loops = {{rows, entry_.strides[dim], row_elements}};
      for (size_t i = dim + 1; i < entry_.shape.size(); ++i) {
        loops.push_back({entry_.shape[i], entry_.strides[i], below_[i + 1]});
      }
      visit_(std::move(loops), place + row * entry_.strides[dim], result + head);
    }
    const int64_t done = head + rows * row_elements;
    cut(dim + 1, 0, count - done, place + (row + rows) * entry_.strides[dim], result + done);
  }

  const TensorEntry& entry_;
  const Visit visit_;
  std::vector<int64_t> below_;  // elements of all dimensions from i on
};

}  // namespace

void strided_read(RandomFile& file, const TensorEntry& entry, int64_t first, int64_t count,
                  void* to, const std::string& what, int64_t staging_bytes) {
  LoopReader reader(file, entry, what, static_cast<char*>(to), staging_bytes);
  RangeCutter(entry, [&](std::vector<Loop> loops, int64_t place, int64_t result) {
    reader.read(std::move(loops), place, result);
  }).cut(first, count);
}

}  // namespace switchyard
