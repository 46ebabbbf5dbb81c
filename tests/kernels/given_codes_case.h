// Matrices of random codes for tests, and their numbers by plain code.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/weight.h"

namespace switchyard {

/// Rows as WeightSpec::source_row_bytes() says: every code but NaN, scales of a few sizes.
struct GivenCodes {
  GivenCodes(GroupQuantization quantization, int64_t rows, int64_t cols, uint32_t seed)
      : spec{DType::kF32, rows, cols, quantization},
        source(static_cast<size_t>(spec.source_bytes())) {
    std::mt19937 random(seed);
    for (int64_t row = 0; row < rows; ++row) {
      char* const codes = source.data() + row * spec.source_row_bytes();
      for (int64_t i = 0; i < spec.code_bytes(); ++i) codes[i] = random_codes(random);
      char* scale = codes + spec.code_bytes();
      for (int64_t first = 0; first < cols; first += quantization.group) {
        if (is_e4m3()) {
          const float value = static_cast<float>(random() % 1000 + 1) * 0x1p-16f;
          std::memcpy(scale, &value, sizeof(value));
          scale += sizeof(value);
        } else {
          *scale++ = static_cast<char>(110 + random() % 15);
        }
      }
    }
  }

  /// Of given rows.
  GivenCodes(const WeightSpec& spec_in, std::vector<char> rows)
      : spec(spec_in), source(std::move(rows)) {}

  /// [rows, cols], each a code's number times its scale.
  std::vector<float> numbers() const {
    std::vector<float> out;
    for (int64_t row = 0; row < spec.rows; ++row) {
      const char* const codes = source.data() + row * spec.source_row_bytes();
      const char* const scales = codes + spec.code_bytes();
      for (int64_t i = 0; i < spec.cols; ++i) {
        const int64_t group = i / spec.quantization.group;
        if (is_e4m3()) {
          float scale = 0.0f;
          std::memcpy(&scale, scales + group * 4, sizeof(scale));
          out.push_back(e4m3_to_f32(static_cast<uint8_t>(codes[i])) * scale);
        } else {
          const auto pair = static_cast<uint8_t>(codes[i / 2]);
          const auto code = static_cast<uint8_t>(i % 2 == 0 ? pair & 15 : pair >> 4);
          out.push_back(bf16_to_f32(mxfp4_to_bf16(code, static_cast<uint8_t>(scales[group]))));
        }
      }
    }
    return out;
  }

  WeightSpec spec;
  std::vector<char> source;

 private:
  bool is_e4m3() const { return spec.quantization.codes == CodeType::kE4m3; }

  char random_codes(std::mt19937& random) const {
    for (;;) {
      const auto byte = static_cast<uint8_t>(random());
      if (!is_e4m3() || (byte & 0x7F) != 0x7F) return static_cast<char>(byte);
    }
  }
};

}  // namespace switchyard
