#include "runtime/checkpoint/strided_read.h"

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
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

/// Copies the elements of two nested loops whose steps count bytes.
template <size_t kItemBytes>
void copy_grid(const char* from, char* to, Loop outer, Loop inner) {
  if (inner.file_step == kItemBytes && inner.result_step == kItemBytes) {
    const auto bytes = static_cast<size_t>(inner.size) * kItemBytes;
    for (int64_t i = 0; i < outer.size; ++i) {
      std::memcpy(to + i * outer.result_step, from + i * outer.file_step, bytes);
    }
    return;
  }
  // Tile by tile, and in a tile along the result: of a transposed matrix the lines of a tile stay
  // in the cache, on the file's side and on the result's.
  constexpr int64_t kTile = 32;
  if (outer.result_step < inner.result_step) std::swap(outer, inner);
  for (int64_t i0 = 0; i0 < outer.size; i0 += kTile) {
    for (int64_t j0 = 0; j0 < inner.size; j0 += kTile) {
      for (int64_t i = i0; i < std::min(outer.size, i0 + kTile); ++i) {
        const char* source = from + i * outer.file_step;
        char* target = to + i * outer.result_step;
        for (int64_t j = j0; j < std::min(inner.size, j0 + kTile); ++j) {
          std::memcpy(target + j * inner.result_step, source + j * inner.file_step, kItemBytes);
        }
      }
    }
  }
}

using CopyGrid = void (*)(const char*, char*, Loop, Loop);

CopyGrid copy_grid_of(int64_t item_bytes) {
  switch (item_bytes) {
    case 1:
      return copy_grid<1>;
    case 2:
      return copy_grid<2>;
    case 4:
      return copy_grid<4>;
    default:
      return copy_grid<8>;
  }
}

/// Copies nested loops of elements from a file, outermost first, in the order of the file.
class LoopReader {
 public:
  LoopReader(RandomFile& file, const TensorEntry& entry, const std::string& what, char* to,
             int64_t staging_bytes)
      : file_(file),
        offset_(entry.offset),
        item_(size_of(entry.dtype)),
        copy_grid_(copy_grid_of(item_)),
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

  /// Are the gaps between the turns of the loop at `depth` read with what is around them?
  bool has_short_gaps(size_t depth) const {
    const int64_t inner = span(depth + 1);
    return (loops_[depth].file_step - inner) * item_ <= std::max(kShortGapBytes, inner * item_);
  }
  /// Have all loops from `depth` on short gaps, so that their whole span is worth reading?
  bool is_dense(size_t depth) const {
    for (; depth < loops_.size(); ++depth) {
      if (!has_short_gaps(depth)) return false;
    }
    return true;
  }

  void read_from(size_t depth, int64_t place, int64_t result);
  void read_band(size_t depth, const Loop& band_loop, int64_t place, int64_t result);
  void scatter(size_t depth, const Loop& loop, const char* from, char* to) const;

  RandomFile& file_;
  const int64_t offset_;
  const int64_t item_;
  const CopyGrid copy_grid_;
  const std::string& what_;
  char* const to_;
  const int64_t staging_bytes_;
  std::vector<Loop> loops_;
  std::vector<char> band_;
};

void LoopReader::read_from(size_t depth, int64_t place, int64_t result) {
  if (depth == loops_.size()) return read_band(depth, {1, 0, 0}, place, result);
  const Loop& loop = loops_[depth];
  const int64_t inner = span(depth + 1);
  const int64_t spare = staging_bytes_ / item_ - inner;
  int64_t turns = 1;
  int64_t band_step = 0;
  const bool is_band = spare >= 0 && is_dense(depth + 1);
  if (is_band) {
    // Long gaps are left out of the band, too.
    band_step = has_short_gaps(depth) ? loop.file_step : inner;
    turns = band_step == 0 ? loop.size : spare / band_step + 1;
  }
  for (int64_t i = 0; i < loop.size; i += turns) {
    const int64_t now = std::min(turns, loop.size - i);
    const int64_t at = place + i * loop.file_step;
    const int64_t to = result + i * loop.result_step;
    if (is_band) {
      read_band(depth, {now, band_step, loop.result_step}, at, to);
    } else {
      read_from(depth + 1, at, to);
    }
  }
}

/// Reads some turns of the loop at `depth`, which stand in the band as `band_loop` says.
void LoopReader::read_band(size_t depth, const Loop& band_loop, int64_t place, int64_t result) {
  const int64_t inner = span(depth + 1);
  const int64_t elements = (band_loop.size - 1) * band_loop.file_step + inner;
  band_.resize(static_cast<size_t>(elements * item_));
  const int64_t file_step = depth < loops_.size() ? loops_[depth].file_step : 0;
  if (band_loop.file_step == file_step) {
    file_.read_at(offset_ + place * item_, elements * item_, band_.data(), what_);
  } else {
    for (int64_t i = 0; i < band_loop.size; ++i) {
      file_.read_at(offset_ + (place + i * file_step) * item_, inner * item_,
                    band_.data() + i * inner * item_, what_);
    }
  }
  scatter(depth, band_loop, band_.data(), to_ + result * item_);
}

/// Copies the elements of `loop`, which stands for the one at `depth`, and of the loops in it.
void LoopReader::scatter(size_t depth, const Loop& loop, const char* from, char* to) const {
  const auto in_bytes = [&](const Loop& elements) {
    return Loop{elements.size, elements.file_step * item_, elements.result_step * item_};
  };
  const size_t next = depth + 1;
  const Loop outer = in_bytes(loop);
  if (next >= loops_.size()) return copy_grid_(from, to, outer, {1, item_, item_});
  if (next + 1 == loops_.size()) return copy_grid_(from, to, outer, in_bytes(loops_[next]));
  for (int64_t i = 0; i < outer.size; ++i) {
    scatter(next, loops_[next], from + i * outer.file_step, to + i * outer.result_step);
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
