#include "runtime/checkpoint/encoded_read.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace switchyard {
namespace {

/// By code: a branch on the code's kind costs five times as much.
constexpr auto kE4m3Values = [] {
  std::array<float, 256> values{};
  for (size_t code = 0; code < values.size(); ++code) {
    values[code] = e4m3_to_f32(static_cast<uint8_t>(code));
  }
  return values;
}();

using Mxfp4Row = std::array<uint16_t, 16>;

/// By scale and code.
constexpr auto kMxfp4Values = [] {
  std::array<Mxfp4Row, 256> values{};
  for (size_t scale = 0; scale < values.size(); ++scale) {
    for (size_t code = 0; code < values[scale].size(); ++code) {
      values[scale][code] = mxfp4_to_bf16(static_cast<uint8_t>(code), static_cast<uint8_t>(scale));
    }
  }
  return values;
}();

}  // namespace

void decode_fp8(const uint8_t* codes, const Fp8Blocks& blocks, int64_t first, int64_t count,
                float* to) {
  int64_t row = first / blocks.cols;
  int64_t col = first % blocks.cols;
  while (count > 0) {
    const float* scales = blocks.scales_of_row(row);
    const int64_t block = col / blocks.block_cols;
    const int64_t end = std::min(blocks.cols, (block + 1) * blocks.block_cols);
    const int64_t run = std::min(count, end - col);
    const float scale = scales[block];
    for (int64_t i = 0; i < run; ++i) to[i] = kE4m3Values[codes[i]] * scale;
    codes += run;
    to += run;
    count -= run;
    col += run;
    if (col == blocks.cols) {
      col = 0;
      ++row;
    }
  }
}

void decode_mxfp4(const uint8_t* codes, const uint8_t* scales, int64_t first, int64_t count,
                  uint16_t* to) {
  const int64_t first_byte = first / 2;
  const int64_t first_block = first / kMxfp4Block;
  const auto code_at = [&](int64_t i) {
    const uint8_t pair = codes[i / 2 - first_byte];
    return static_cast<size_t>(i % 2 == 0 ? pair & 15 : pair >> 4);
  };
  const int64_t end = first + count;
  for (int64_t i = first; i < end;) {
    const Mxfp4Row& values = kMxfp4Values[scales[i / kMxfp4Block - first_block]];
    const int64_t block_end = std::min(end, (i / kMxfp4Block + 1) * kMxfp4Block);
    if (i % 2 == 1) *to++ = values[code_at(i++)];
    for (; i + 2 <= block_end; i += 2) {
      const uint8_t pair = codes[i / 2 - first_byte];
      *to++ = values[pair & 15];
      *to++ = values[pair >> 4];
    }
    if (i < block_end) *to++ = values[code_at(i++)];
  }
}

void widen_in_place(DType from_dtype, DType to_dtype, char* memory, int64_t count) {
  if (from_dtype == to_dtype) return;
  constexpr int64_t kChunk = 4096;
  std::array<char, kChunk * 8> chunk;
  const int64_t narrow = size_of(from_dtype);
  const int64_t wide = size_of(to_dtype);
  const char* from = memory + count * (wide - narrow);
  // What is written never passes what is still to be read: the two meet at the end.
  for (int64_t done = 0; done < count; done += kChunk) {
    const int64_t now = std::min(kChunk, count - done);
    std::memcpy(chunk.data(), from + done * narrow, static_cast<size_t>(now * narrow));
    convert_elements(from_dtype, chunk.data(), to_dtype, memory + done * wide, now);
  }
}

}  // namespace switchyard
