// Quantised weights for tests, and their form read by plain code.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/base/thread_pool.h"
#include "kernels/cpu/quantize.h"
#include "kernels/quantization.h"
#include "tests/kernels/cpu_variants.h"

namespace switchyard {

inline std::vector<GroupQuantization> default_quantizations() {
  return {default_quantization(8), default_quantization(4), default_quantization(3),
          default_quantization(2)};
}

/// A weight matrix [rows, cols] quantised by the CPU.
struct QuantizedWeight {
  QuantizedWeight(WeightSpec spec_in, const std::vector<float>& numbers,
                  InstructionSet set = InstructionSet::kAuto, int threads = 1)
      : spec(spec_in),
        source(static_cast<size_t>(spec.source_bytes())),
        packed(cpu::packed_bytes(spec)) {
    convert_elements(DType::kF32, numbers.data(), spec.dtype, source.data(), spec.rows * spec.cols);
    std::memset(packed.data(), 0xFF, static_cast<size_t>(packed.bytes()));
    ThreadPool pool(threads);
    cpu::quantize_rows(cpu_kernels(set), pool, source.data(), 0, spec.rows, weight());
  }
  Weight weight() const { return {spec, packed.data()}; }
  std::vector<char> bytes() const {
    return {packed.as<char>(), packed.as<char>() + packed.bytes()};
  }
  /// [rows, cols], by kernels/cpu/quantized_layout.h.
  std::vector<float> elements() const;

  WeightSpec spec;
  std::vector<char> source;  // row-major, spec.dtype
  AlignedBuffer packed;
};

/// Reads the bytes of a panel.
struct PanelReader {
  const char* at;
  template <typename T>
  T read(int64_t byte) const {
    T value;
    std::memcpy(&value, at + byte, sizeof(T));
    return value;
  }
};

inline std::vector<float> QuantizedWeight::elements() const {
  const int bits = spec.quantization.bits;
  const int64_t group = spec.quantization.group;
  const bool is_coded = bits < 4;
  const int64_t scales = is_coded ? 64 : 192;
  const int64_t groups = (spec.cols + group - 1) / group;
  const int64_t block_bytes = 32 * bits;
  const int64_t unaligned =
      (is_coded ? 128 : 0) + groups * scales + (spec.cols + 7) / 8 * block_bytes;
  const int64_t panel_bytes = (unaligned + 63) / 64 * 64;
  std::vector<float> out;
  for (int64_t row = 0; row < spec.rows; ++row) {
    const PanelReader panel{packed.as<char>() + row / 32 * panel_bytes};
    const int64_t lane = row % 32;
    for (int64_t i = 0; i < spec.cols; ++i) {
      const int64_t g = i / group;
      const int64_t head = (is_coded ? 128 : 0) + g * (scales + group / 8 * block_bytes);
      const int64_t block = head + scales + i % group / 8 * block_bytes;
      uint64_t word = 0;
      if (bits == 8) {
        word = panel.read<uint32_t>(block + 4 * lane) |
               uint64_t{panel.read<uint32_t>(block + 128 + 4 * lane)} << 32;
      } else if (bits == 4) {
        word = panel.read<uint32_t>(block + 4 * lane);
      } else {
        word = panel.read<uint16_t>(block + 2 * lane);
        if (bits == 3) word |= uint64_t{panel.read<uint8_t>(block + 64 + lane)} << 16;
      }
      const auto code = static_cast<float>(word >> (i % 8 * bits) & ((1u << bits) - 1));
      float scale = 0.0f;
      float offset = 0.0f;
      if (is_coded) {
        const float root = panel.read<uint8_t>(head + lane);
        const float zero = panel.read<uint8_t>(head + 32 + lane);
        scale = panel.read<float>(4 * lane) * (root * root);
        offset = -zero * (bits == 3 ? 0x1p-5f : 0x1p-6f) * scale;
      } else {
        scale = std::bit_cast<float>(uint32_t{panel.read<uint16_t>(head + 2 * lane)} << 15);
        offset = panel.read<float>(head + 64 + 4 * lane);
      }
      out.push_back(std::fma(code, scale, offset));
    }
  }
  return out;
}

}  // namespace switchyard
