#include "runtime/bench/expert_numbers.h"

#include <bit>
#include <cstring>

#include "kernels/base/mix_bits.h"
#include "runtime/bench/bench.h"

namespace switchyard {
namespace {

// Powers of two, so that every number is one of bf16 and fp16 too: up to 1.9 and 6 become 1/16 or
// so.
constexpr float kE4m3Scale = 0x1p-5f;
constexpr uint8_t kE2m1Scale = 127 - 7;

/// Bytes of codes that are no NaN and, of 8 bits, below 2.
uint8_t code_byte(const GroupQuantization& codes, int64_t i) {
  const auto byte = static_cast<uint8_t>(mix_bits(static_cast<uint64_t>(i)) >> 32);
  return codes.codes == CodeType::kE4m3 ? byte & 0xBF : byte;
}

}  // namespace

ExpertNumbers::ExpertNumbers(DType dtype, const GroupQuantization& codes, int64_t elements,
                             int64_t windows)
    : dtype_(dtype) {
  if (codes.is_given()) {
    step_ = 8 / codes.bits;
    make_codes(codes, (elements + step_ - 1) / step_ + windows);
    return;
  }
  numbers_ = bench_numbers(elements + windows);
  stored_.resize(numbers_.size() * static_cast<size_t>(size_of(dtype)));
  convert_elements(DType::kF32, numbers_.data(), dtype, stored_.data(),
                   static_cast<int64_t>(numbers_.size()));
}

void ExpertNumbers::make_codes(const GroupQuantization& codes, int64_t bytes) {
  for (int64_t i = 0; i < bytes; ++i) {
    const uint8_t byte = code_byte(codes, i);
    stored_.push_back(static_cast<char>(byte));
    if (codes.codes == CodeType::kE4m3) {
      numbers_.push_back(e4m3_to_f32(byte) * kE4m3Scale);
    } else {
      numbers_.push_back(bf16_to_f32(mxfp4_to_bf16(byte & 15, kE2m1Scale)));
      numbers_.push_back(bf16_to_f32(mxfp4_to_bf16(byte >> 4, kE2m1Scale)));
    }
  }
}

const void* ExpertNumbers::rows(const WeightSpec& spec, int64_t window) {
  if (!spec.quantization.is_given()) return stored_.data() + window * size_of(dtype_);
  const auto row_bytes = static_cast<size_t>(spec.source_row_bytes());
  const auto code_bytes = static_cast<size_t>(spec.code_bytes());
  rows_.resize(static_cast<size_t>(spec.source_bytes()));
  for (size_t row = 0; row < static_cast<size_t>(spec.rows); ++row) {
    char* const to = rows_.data() + row * row_bytes;
    std::memcpy(to, stored_.data() + static_cast<size_t>(window) + row * code_bytes, code_bytes);
    for (size_t at = code_bytes; at < row_bytes;) {
      if (spec.quantization.codes == CodeType::kE4m3) {
        std::memcpy(to + at, &kE4m3Scale, sizeof(kE4m3Scale));
        at += sizeof(kE4m3Scale);
      } else {
        to[at++] = static_cast<char>(kE2m1Scale);
      }
    }
  }
  return rows_.data();
}

}  // namespace switchyard
