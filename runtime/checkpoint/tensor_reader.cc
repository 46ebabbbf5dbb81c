#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/encoded_read.h"
#include "runtime/checkpoint/given_codes.h"
#include "runtime/checkpoint/strided_read.h"

namespace switchyard {
namespace {

/// Codes that are copied aside before their elements are written over them. A multiple of 2.
constexpr int64_t kDecodeChunk = 4096;

/// `bytes` bytes at the end of the `total` bytes at `to`.
char* tail(char* to, int64_t total, int64_t bytes) { return to + total - bytes; }

}  // namespace

void TensorSource::read_packed(const PackedExtent&, void*, const std::string& what) {
  SWITCHYARD_CHECK(false, what, ": this source has no packed tensors");
}

void TensorSource::read_codes(const std::string& name, const TensorEntry&, int64_t, int64_t,
                              void*) {
  SWITCHYARD_CHECK(false, name, ": this source has no codes");
}

TensorReader::TensorReader(const CheckpointIndex& index, FileCaching caching)
    : index_(index), caching_(caching), files_(index.files.size()) {}

RandomFile& TensorReader::open(int32_t number) {
  std::unique_ptr<RandomFile>& file = files_.at(static_cast<size_t>(number));
  if (file == nullptr) {
    const CheckpointFile& expected = index_.files[static_cast<size_t>(number)];
    file = std::make_unique<RandomFile>(expected.path, caching_);
    if (file->identity() != expected.identity) {
      fail_input(expected.path, ": is another file here than where its header was read; put the ",
                 "same checkpoint on every host, and do not change it during a run");
    }
  }
  return *file;
}

void TensorReader::read(const std::string& name, const TensorEntry& entry, int64_t first,
                        int64_t count, void* to) {
  const std::string what = concat("tensor '", printable(name), "'");
  read_entry(entry, {first, count, static_cast<char*>(to), what});
}

void TensorReader::read_codes(const std::string& name, const TensorEntry& entry, int64_t first_row,
                              int64_t num_rows, void* to) {
  const std::string what = concat("tensor '", printable(name), "'");
  SWITCHYARD_CHECK(first_row >= 0 && num_rows >= 0 && num_rows <= entry.shape[0] - first_row, what);
  read_code_rows(entry, {first_row, num_rows, static_cast<char*>(to), what});
}

void TensorReader::read_packed(const PackedExtent& extent, void* to, const std::string& what) {
  open(extent.file).read_at(extent.offset, extent.bytes, to, what);
  bytes_read_ += extent.bytes;
}

void TensorReader::read_entry(const TensorEntry& entry, const Range& range) {
  SWITCHYARD_CHECK(
      range.first >= 0 && range.count >= 0 && range.count <= entry.num_elements() - range.first,
      range.what);
  if (range.count == 0) return;
  if (!entry.parts.empty()) return read_parts(entry, range);
  switch (entry.encoding) {
    case TensorEncoding::kPlain:
      return entry.extents.empty() ? read_plain(entry, range) : read_extents(entry, range);
    case TensorEncoding::kFp8Block:
      return read_fp8(entry, range);
    case TensorEncoding::kMxfp4:
      return read_mxfp4(entry, range);
    case TensorEncoding::kPacked:
      SWITCHYARD_CHECK(false, range.what, " is packed: its elements are not read one by one");
  }
}

void TensorReader::read_widened(const TensorEntry& entry, DType dtype, const Range& range) {
  SWITCHYARD_CHECK(entry.dtype == dtype || dtype == DType::kF32, range.what);
  const int64_t total = range.count * size_of(dtype);
  Range narrow = range;
  narrow.to = tail(range.to, total, range.count * size_of(entry.dtype));
  read_entry(entry, narrow);
  widen_in_place(entry.dtype, dtype, range.to, range.count);
}

void TensorReader::read_bytes(const TensorEntry& entry, int64_t first, int64_t bytes, char* to,
                              const std::string& what) {
  open(entry.file).read_at(entry.offset + first, bytes, to, what);
  bytes_read_ += bytes;
}

void TensorReader::read_plain(const TensorEntry& entry, const Range& range) {
  const int64_t item = size_of(entry.dtype);
  if (entry.is_contiguous()) {
    return read_bytes(entry, range.first * item, range.count * item, range.to, range.what);
  }
  RandomFile& file = open(entry.file);
  const int64_t before = file.bytes_read();
  strided_read(file, entry, range.first, range.count, range.to, range.what);
  bytes_read_ += file.bytes_read() - before;
}

void TensorReader::read_extents(const TensorEntry& entry, Range range) {
  const int64_t item = size_of(entry.dtype);
  for (const TensorExtent& extent : entry.extents) {
    const int64_t skip = std::min(range.first, extent.count);
    const int64_t part = std::min(range.count, extent.count - skip);
    range.first -= skip;
    if (part == 0) continue;
    open(extent.file).read_at(extent.offset + skip * item, part * item, range.to, range.what);
    bytes_read_ += part * item;
    range.to += part * item;
    range.count -= part;
  }
  SWITCHYARD_CHECK(range.count == 0, range.what);
}

void TensorReader::read_parts(const TensorEntry& entry, Range range) {
  for (const TensorEntry& part : entry.parts) {
    const int64_t elements = part.num_elements();
    const int64_t skip = std::min(range.first, elements);
    const int64_t count = std::min(range.count, elements - skip);
    range.first -= skip;
    if (count == 0) continue;
    read_widened(part, entry.dtype, {skip, count, range.to, range.what});
    range.to += count * size_of(entry.dtype);
    range.count -= count;
  }
  SWITCHYARD_CHECK(range.count == 0, range.what);
}

void TensorReader::read_code_rows(const TensorEntry& entry, Range range) {
  for (const TensorEntry& part : entry.parts) {
    const int64_t skip = std::min(range.first, part.shape[0]);
    const int64_t count = std::min(range.count, part.shape[0] - skip);
    range.first -= skip;
    if (count > 0) read_code_rows(part, {skip, count, range.to, range.what});
    range.to += count * code_rows(entry).source_row_bytes();
    range.count -= count;
  }
  if (range.count == 0) return;
  const WeightSpec spec = code_rows(entry);
  const int64_t row_bytes = spec.source_row_bytes();
  const int64_t code_bytes = spec.code_bytes();
  const std::vector<char> scales = read_scales(entry, range.first, range.count, range.what);
  const int64_t scale_bytes = row_bytes - code_bytes;
  char* const codes = tail(range.to, range.count * row_bytes, range.count * code_bytes);
  read_bytes(entry, range.first * code_bytes, range.count * code_bytes, codes, range.what);
  // A row and its scales end where the next row's codes wait, or before.
  for (int64_t row = 0; row < range.count; ++row) {
    char* const to = range.to + row * row_bytes;
    std::memmove(to, codes + row * code_bytes, static_cast<size_t>(code_bytes));
    std::memcpy(to + code_bytes, scales.data() + row * scale_bytes,
                static_cast<size_t>(scale_bytes));
  }
}

std::vector<char> TensorReader::read_scales(const TensorEntry& entry, int64_t first_row,
                                            int64_t num_rows, const std::string& what) {
  if (entry.encoding == TensorEncoding::kMxfp4) {
    const int64_t per_row = entry.shape[1] / kMxfp4Block;
    std::vector<char> scales(static_cast<size_t>(num_rows * per_row));
    read_entry(entry.scale[0], {first_row * per_row, num_rows * per_row, scales.data(), what});
    return scales;
  }
  Fp8Blocks blocks;
  const std::vector<float> of_blocks = read_block_scales(entry, first_row, num_rows, blocks, what);
  const auto row_bytes = static_cast<size_t>(blocks.scale_cols()) * sizeof(float);
  std::vector<char> scales(static_cast<size_t>(num_rows) * row_bytes);
  for (int64_t row = 0; row < num_rows; ++row) {
    std::memcpy(scales.data() + static_cast<size_t>(row) * row_bytes,
                blocks.scales_of_row(first_row + row), row_bytes);
  }
  return scales;
}

std::vector<float> TensorReader::read_block_scales(const TensorEntry& entry, int64_t first_row,
                                                   int64_t num_rows, Fp8Blocks& blocks,
                                                   const std::string& what) {
  SWITCHYARD_CHECK(entry.scale.size() == 1, what);
  blocks = {entry.shape[1], entry.block_rows, entry.block_cols, entry.first_row};
  const TensorEntry& scale = entry.scale[0];
  SWITCHYARD_CHECK(scale.shape.size() == 2 && scale.shape[1] == blocks.scale_cols(), what);
  blocks.first_block_row = blocks.block_row(first_row);
  const int64_t end_block_row = blocks.block_row(first_row + num_rows - 1) + 1;
  const int64_t count = (end_block_row - blocks.first_block_row) * blocks.scale_cols();
  std::vector<float> scales(static_cast<size_t>(count));
  read_widened(scale, DType::kF32,
               {blocks.first_block_row * blocks.scale_cols(), count,
                reinterpret_cast<char*>(scales.data()), what});
  blocks.scales = scales.data();
  return scales;
}

void TensorReader::read_fp8(const TensorEntry& entry, const Range& range) {
  SWITCHYARD_CHECK(entry.shape.size() == 2, range.what);
  const int64_t first_row = range.first / entry.shape[1];
  const int64_t last_row = (range.first + range.count - 1) / entry.shape[1];
  Fp8Blocks blocks;
  const std::vector<float> scales =
      read_block_scales(entry, first_row, last_row - first_row + 1, blocks, range.what);

  constexpr int64_t kItem = sizeof(float);
  char* codes = tail(range.to, range.count * kItem, range.count);
  read_bytes(entry, range.first, range.count, codes, range.what);
  std::array<uint8_t, kDecodeChunk> chunk;
  std::array<float, kDecodeChunk> decoded;
  // As in widen_in_place: elements are written over codes that were used.
  for (int64_t done = 0; done < range.count; done += kDecodeChunk) {
    const int64_t now = std::min(kDecodeChunk, range.count - done);
    std::memcpy(chunk.data(), codes + done, static_cast<size_t>(now));
    decode_fp8(chunk.data(), blocks, range.first + done, now, decoded.data());
    std::memcpy(range.to + done * kItem, decoded.data(), static_cast<size_t>(now * kItem));
  }
}

void TensorReader::read_mxfp4(const TensorEntry& entry, const Range& range) {
  SWITCHYARD_CHECK(entry.scale.size() == 1 && entry.shape.back() % kMxfp4Block == 0, range.what);
  const int64_t end = range.first + range.count;
  const int64_t first_block = range.first / kMxfp4Block;
  std::vector<uint8_t> scales(static_cast<size_t>((end - 1) / kMxfp4Block - first_block + 1));
  read_entry(entry.scale[0], {first_block, static_cast<int64_t>(scales.size()),
                              reinterpret_cast<char*>(scales.data()), range.what});

  constexpr int64_t kItem = sizeof(uint16_t);
  const int64_t first_byte = range.first / 2;
  const int64_t num_bytes = (end + 1) / 2 - first_byte;
  char* codes = tail(range.to, range.count * kItem, num_bytes);
  read_bytes(entry, first_byte, num_bytes, codes, range.what);
  std::array<uint8_t, kDecodeChunk / 2 + 1> chunk;
  std::array<uint16_t, kDecodeChunk> decoded;
  for (int64_t done = 0; done < range.count; done += kDecodeChunk) {
    const int64_t now = std::min(kDecodeChunk, range.count - done);
    const int64_t at = range.first + done;
    const int64_t chunk_bytes = (at + now + 1) / 2 - at / 2;
    std::memcpy(chunk.data(), codes + at / 2 - first_byte, static_cast<size_t>(chunk_bytes));
    decode_mxfp4(chunk.data(), scales.data() + at / kMxfp4Block - first_block, at, now,
                 decoded.data());
    std::memcpy(range.to + done * kItem, decoded.data(), static_cast<size_t>(now * kItem));
  }
}

}  // namespace switchyard
