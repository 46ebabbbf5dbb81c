// What the tests of CPU kernels share.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/aligned_buffer.h"
#include "kernels/cpu/instruction_set.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/packing.h"

namespace switchyard {

/// The instruction sets this machine runs, the portable one first.
inline std::vector<InstructionSet> supported_sets() {
  std::vector<InstructionSet> sets;
  for (const auto set :
       {InstructionSet::kPortable, InstructionSet::kAvx2, InstructionSet::kAvx512}) {
    if (is_supported(set)) sets.push_back(set);
  }
  return sets;
}

/// `count` numbers of a normal distribution.
inline std::vector<float> random_numbers(int64_t count, uint32_t seed, float deviation = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> numbers(static_cast<size_t>(count));
  for (float& x : numbers) x = normal(random);
  return numbers;
}

/// Bits of every number, so that comparisons tell -0 from 0 and NaN equals itself.
inline std::vector<uint32_t> bits_of(const std::vector<float>& numbers) {
  std::vector<uint32_t> bits(numbers.size());
  if (!numbers.empty()) std::memcpy(bits.data(), numbers.data(), numbers.size() * 4);
  return bits;
}

/// A weight matrix [rows, cols], both as a checkpoint stores it and packed.
struct TestWeight {
  TestWeight(DType dtype, int64_t rows, int64_t cols, const std::vector<float>& numbers)
      : spec{dtype, rows, cols},
        source(static_cast<size_t>(spec.source_bytes())),
        widened(numbers.size()),
        packed(cpu::packed_bytes(spec)) {
    convert_elements(DType::kF32, numbers.data(), dtype, source.data(), rows * cols);
    convert_elements(dtype, source.data(), DType::kF32, widened.data(), rows * cols);
    std::memset(packed.data(), 0xFF, static_cast<size_t>(packed.bytes()));
    cpu::pack_rows(source.data(), 0, rows, weight());
  }
  Weight weight() const { return {spec, packed.data()}; }

  WeightSpec spec;
  std::vector<char> source;    // row-major, spec.dtype
  std::vector<float> widened;  // the same numbers in fp32
  AlignedBuffer packed;
};

}  // namespace switchyard
