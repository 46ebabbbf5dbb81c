#include "kernels/cpu/cpu_arguments.h"

#include <algorithm>
#include <string>

namespace switchyard {
namespace {

std::string text_of(DType dtype, const Shape& shape) {
  std::string text = concat(name_of(dtype), " [");
  for (int i = 0; i < shape.rank(); ++i) text += concat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

}  // namespace

void Arguments::fail(const char* name, const std::string& detail) const {
  throw Error(ErrorKind::kInternal, concat("internal error: ", op_, ": ", name, " ", detail,
                                           "; this is a fault of switchyard, please report it"));
}

void Arguments::check_view(const char* name, const TensorView& view, DType dtype,
                           const Shape& shape) const {
  if (view.dtype != dtype || view.shape != shape) {
    fail(name,
         concat("is ", text_of(view.dtype, view.shape), ", expected ", text_of(dtype, shape)));
  }
}

void* Arguments::address(const char* name, const void* pointer, int64_t bytes) const {
  if (bytes == 0) return nullptr;
  void* address = pointer == nullptr ? nullptr : resolver_.resolve(pointer, bytes);
  if (address == nullptr) {
    fail(name,
         concat("(", bytes, " bytes at ", pointer, ") is not in one block of the device's memory"));
  }
  return address;
}

void Arguments::host_memory(const char* name, const void* pointer) const {
  require(pointer != nullptr, name, "is null");
  require(!resolver_.is_device_only(pointer), name, "is device memory, expected host memory");
}

void Arguments::group_offsets(const std::vector<int64_t>& offsets, int64_t num_groups,
                              int64_t num_rows) const {
  const bool covers = static_cast<int64_t>(offsets.size()) == num_groups + 1 &&
                      offsets.front() == 0 && offsets.back() == num_rows;
  require(covers && std::is_sorted(offsets.begin(), offsets.end()), "row_offsets",
          "do not cut the rows into the groups");
}

void Arguments::rank(const char* name, const TensorView& view, int expected) const {
  if (view.shape.rank() != expected) {
    fail(name, concat("is ", text_of(view.dtype, view.shape), ", expected ", expected, " extents"));
  }
}

Weight Arguments::weight(const char* name, const Weight& weight, int64_t rows, int64_t cols,
                         int64_t packed_bytes) const {
  const Shape shape{weight.spec.rows, weight.spec.cols};
  check_view(name, {weight.data, weight.spec.dtype, shape}, weight.spec.dtype, {rows, cols});
  return {weight.spec, address(name, weight.data, packed_bytes)};
}

void Arguments::disjoint(const char* name, const TensorView& a, const char* other,
                         const TensorView& b) const {
  const auto begin = [](const TensorView& view) { return reinterpret_cast<uintptr_t>(view.data); };
  const auto end = [&begin](const TensorView& view) {
    return begin(view) + static_cast<uintptr_t>(view.bytes());
  };
  if (begin(a) < end(b) && begin(b) < end(a)) fail(name, concat("overlaps ", other));
}

void Arguments::sequences(const std::vector<SequenceRows>& sequences, int64_t num_rows,
                          const std::vector<int32_t>& page_table, int64_t num_pages,
                          PagesUsed used) const {
  const auto num_entries = static_cast<int64_t>(page_table.size());
  for (size_t s = 0; s < sequences.size(); ++s) {
    const SequenceRows& rows = sequences[s];
    if (rows.first_row < 0 || rows.num_rows < 0 || rows.first_row + rows.num_rows > num_rows ||
        rows.first_position < 0 || rows.first_page_entry < 0) {
      fail("sequences",
           concat("[", s, "] has rows ", rows.first_row, " + ", rows.num_rows, " of ", num_rows,
                  ", position ", rows.first_position, ", page entry ", rows.first_page_entry));
    }
    if (rows.num_rows == 0) continue;
    const bool is_padding = rows.first_position >= rows.num_keys;
    if (rows.num_keys < 1 || (!is_padding && rows.num_rows > rows.num_keys - rows.first_position)) {
      fail("sequences",
           concat("[", s, "] has rows before and behind its ", rows.num_keys, " keys"));
    }
    const int64_t first = used == PagesUsed::kFromStart ? 0 : rows.first_position / kKeysPerPage;
    const int64_t last = (rows.first_position + rows.num_rows - 1) / kKeysPerPage;
    if (rows.first_page_entry + last >= num_entries) {
      fail("page_table", concat("has ", num_entries, " entries, sequence ", s, " needs entry ",
                                rows.first_page_entry + last));
    }
    for (int64_t entry = rows.first_page_entry + first; entry <= rows.first_page_entry + last;
         ++entry) {
      const int64_t page = page_table[static_cast<size_t>(entry)];
      if (page < 0 || page >= num_pages) {
        fail("page_table", concat("[", entry, "] is page ", page, " of ", num_pages));
      }
    }
  }
}

}  // namespace switchyard
