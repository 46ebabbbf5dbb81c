#include "kernels/arguments.h"

#include <algorithm>
#include <string>

namespace switchyard {
namespace {

std::string text_of(DType dtype, const Shape& shape) {
  std::string text = concat(name_of(dtype), " [");
  for (int i = 0; i < shape.rank(); ++i) text += concat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

// The first position that the first row of a run sees.
int64_t first_visible(const SequenceRows& rows, int64_t window) {
  if (window == 0) return 0;
  const int64_t last = std::min(rows.first_position, rows.num_keys - 1);
  return std::max<int64_t>(0, last + 1 - window);
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

ColumnAddresses Arguments::columns(const char* name, const HeadColumns& columns, int64_t num_rows,
                                   int64_t num_columns) const {
  const TensorView& rows = columns.rows;
  rank(name, rows, 2);
  require(columns.num_heads > 0 && rows.shape[1] % columns.num_heads == 0, name,
          "has columns that are not equally many for each head");
  if (columns.first_column < 0 || columns.first_column + num_columns > columns.width()) {
    fail(name, concat("has ", columns.width(), " columns a head, expected ", num_columns, " from ",
                      columns.first_column, " on"));
  }
  float* const data = f32(name, rows, {num_rows, rows.shape[1]});
  return {.data = data == nullptr ? nullptr : data + columns.first_column,
          .row_stride = rows.shape[1],
          .head_stride = columns.width(),
          .num_heads = columns.num_heads};
}

void Arguments::key_values(const KeyValueSpec& spec) const {
  require(spec.num_kv_heads > 0 && spec.head_dim > 0 && spec.value_dim > 0, "pages",
          "are of no keys or no values");
  require(spec.values == ValueSource::kOwn || spec.value_dim <= spec.head_dim, "pages",
          "have values that are longer than the keys that hold them");
}

void Arguments::same_or_disjoint(const char* name, const HeadColumns& a, const char* other,
                                 const HeadColumns& b) const {
  const bool is_same = a.rows.data == b.rows.data && a.rows.shape == b.rows.shape &&
                       a.num_heads == b.num_heads && a.first_column == b.first_column;
  if (!is_same) disjoint(name, a.rows, other, b.rows);
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
                          const std::vector<int32_t>& page_table, int64_t num_pages, PagesUsed used,
                          int64_t window) const {
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
    const int64_t first =
        used == PagesUsed::kOfRows ? rows.first_position : first_visible(rows, window);
    const int64_t last = (rows.first_position + rows.num_rows - 1) / kKeysPerPage;
    if (rows.first_page_entry + last >= num_entries) {
      fail("page_table", concat("has ", num_entries, " entries, sequence ", s, " needs entry ",
                                rows.first_page_entry + last));
    }
    for (int64_t entry = rows.first_page_entry + first / kKeysPerPage;
         entry <= rows.first_page_entry + last; ++entry) {
      const int64_t page = page_table[static_cast<size_t>(entry)];
      if (page < 0 || page >= num_pages) {
        fail("page_table", concat("[", entry, "] is page ", page, " of ", num_pages));
      }
    }
  }
}

}  // namespace switchyard
