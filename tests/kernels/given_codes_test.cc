// Matrices whose codes the checkpoint holds: FP8 with scales of blocks, and MXFP4.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <string>

#include "kernels/base/thread_pool.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/pack_codes.h"
#include "kernels/quantization.h"
#include "tests/kernels/cpu_variants.h"
#include "tests/kernels/given_codes_case.h"
#include "tests/kernels/test_device.h"

namespace switchyard {
namespace {

using testing::same_on_all_variants;
using testing::TestDevice;

std::vector<char> pack(const GivenCodes& codes, int64_t rows_per_piece, int threads) {
  const WeightSpec& spec = codes.spec;
  AlignedBuffer packed(cpu::packed_bytes(spec));
  std::memset(packed.data(), 0xFF, static_cast<size_t>(packed.bytes()));
  ThreadPool pool(threads);
  std::vector<int64_t> pieces((static_cast<size_t>(spec.rows + rows_per_piece - 1)) /
                              static_cast<size_t>(rows_per_piece));
  std::iota(pieces.rbegin(), pieces.rend(), 0);
  for (const int64_t piece : pieces) {
    const int64_t row = piece * rows_per_piece;
    cpu::pack_codes(pool, codes.source.data() + row * spec.source_row_bytes(), row,
                    std::min(rows_per_piece, spec.rows - row), {spec, packed.data()});
  }
  return {packed.as<char>(), packed.as<char>() + packed.bytes()};
}

std::vector<float> multiply(InstructionSet set, const std::vector<float>& x, int64_t m,
                            const Weight& w) {
  ThreadPool pool(2);
  cpu::MatmulScratch scratch(2);
  std::vector<float> out(static_cast<size_t>(m * w.spec.rows), std::nanf(""));
  cpu::matmul(cpu_kernels(set), pool, scratch,
              {.x = x.data(), .num_rows = m, .w = w, .out = out.data()});
  return out;
}

struct Case {
  int64_t n, k;
  GroupQuantization codes;
};

const std::vector<Case> kCases = {
    {64, 256, e4m3_codes(128)}, {33, 300, e4m3_codes(128)}, {70, 77, e4m3_codes(16)},
    {1, 7, e4m3_codes(8)},      {97, 30, e4m3_codes(64)},   {31, 41, e4m3_codes(24)},
    {64, 256, mxfp4_codes()},   {33, 96, mxfp4_codes()},    {1, 32, mxfp4_codes()},
};

TEST(GivenCodes, AMatmulEqualsThatOfTheirNumbers) {
  for (const Case& each : kCases) {
    const GivenCodes codes(each.codes, each.n, each.k, 1);
    std::vector<char> packed = pack(codes, each.n, 1);
    const TestWeight plain(DType::kF32, each.n, each.k, codes.numbers());
    const std::vector<float> x = random_numbers(13 * each.k, 2);
    for (const InstructionSet set : supported_sets()) {
      for (const int64_t m : {1, 2, 3, 5, 12, 13}) {
        ASSERT_EQ(bits_of(multiply(set, x, m, {codes.spec, packed.data()})),
                  bits_of(multiply(set, x, m, plain.weight())))
            << name_of(each.codes) << ' ' << name_of(set) << " m " << m << " n " << each.n << " k "
            << each.k;
      }
    }
  }
}

TEST(GivenCodes, PiecesAndThreadsPackTheSameBytes) {
  for (const Case& each : kCases) {
    const GivenCodes codes(each.codes, each.n, each.k, 3);
    const std::vector<char> whole = pack(codes, each.n, 1);
    for (const int64_t rows : {1, 5, 32, 40}) {
      EXPECT_TRUE(pack(codes, rows, 2) == whole) << name_of(each.codes) << ' ' << rows;
    }
  }
}

TEST(GivenCodes, TheyTakeTheirBitsAndTheirScales) {
  const auto bytes = [](GroupQuantization codes) {
    return cpu::packed_bytes({DType::kF32, 256, 4096, codes});
  };
  EXPECT_EQ(bytes(e4m3_codes(128)), 256 * 4096 + 256 * 32 * 4);
  EXPECT_EQ(bytes(mxfp4_codes()), 256 * 4096 / 2 + 256 * 128);
  EXPECT_EQ(name_of(e4m3_codes(128)), "fp8g128");
  EXPECT_EQ(name_of(mxfp4_codes()), "mxfp4");
}

/// One output whose only weight that counts has this code, under this scale.
float number_of(GroupQuantization quantization, uint8_t code, const std::vector<char>& scale,
                InstructionSet set) {
  const WeightSpec spec{DType::kF32, 1, quantization.group, quantization};
  GivenCodes codes(quantization, 1, quantization.group, 1);
  std::fill(codes.source.begin(), codes.source.end(), '\0');
  codes.source[0] = static_cast<char>(code);
  std::memcpy(codes.source.data() + spec.code_bytes(), scale.data(), scale.size());
  std::vector<char> packed = pack(codes, 1, 1);
  std::vector<float> x(static_cast<size_t>(spec.cols), 0.0f);
  x[0] = 1.0f;
  return multiply(set, x, 1, {spec, packed.data()})[0];
}

TEST(GivenCodes, EveryFp8CodeIsItsNumber) {
  for (const float scale : {1.0f, 0.37f, 0x1p-130f, 0x1.fp120f}) {
    std::vector<char> bytes(sizeof(scale));
    std::memcpy(bytes.data(), &scale, sizeof(scale));
    for (const InstructionSet set : supported_sets()) {
      for (int code = 0; code < 256; ++code) {
        const float expected = e4m3_to_f32(static_cast<uint8_t>(code)) * scale;
        const float got = number_of(e4m3_codes(8), static_cast<uint8_t>(code), bytes, set);
        if (std::isnan(expected)) {
          EXPECT_TRUE(std::isnan(got)) << code;
        } else {
          EXPECT_EQ(got, expected) << name_of(set) << " code " << code << " scale " << scale;
        }
      }
    }
  }
}

TEST(GivenCodes, EveryMxfp4CodeAndScaleIsItsNumber) {
  for (const InstructionSet set : supported_sets()) {
    for (int scale = 0; scale < 256; ++scale) {
      for (uint8_t code = 0; code < 16; ++code) {
        const float expected = bf16_to_f32(mxfp4_to_bf16(code, static_cast<uint8_t>(scale)));
        const float got = number_of(mxfp4_codes(), code, {static_cast<char>(scale)}, set);
        if (std::isnan(expected)) {
          EXPECT_TRUE(std::isnan(got)) << scale;
        } else {
          EXPECT_EQ(got, expected) << name_of(set) << " code " << int{code} << " scale " << scale;
        }
      }
    }
  }
}

TEST(GivenCodes, NanReachesItsOutputsOnly) {
  const int64_t m = 14, n = 35, k = 40;
  GivenCodes codes(e4m3_codes(16), n, k, 7);
  codes.source[static_cast<size_t>(33 * codes.spec.source_row_bytes() + 19)] = '\x7F';
  std::vector<char> packed = pack(codes, n, 1);
  const std::vector<float> x = random_numbers(m * k, 8);
  for (const InstructionSet set : supported_sets()) {
    const std::vector<float> out = multiply(set, x, m, {codes.spec, packed.data()});
    for (int64_t i = 0; i < m * n; ++i) {
      EXPECT_EQ(std::isnan(out[static_cast<size_t>(i)]), i % n == 33) << i;
    }
  }
}

/// A matrix of codes, or of their numbers in fp32, on a device.
Weight put(TestDevice& device, const GivenCodes& codes, bool keeps_codes, DeviceBuffer& owner) {
  if (!keeps_codes) {
    return device.put_weight(codes.numbers(), {DType::kF32, codes.spec.rows, codes.spec.cols},
                             owner);
  }
  owner = device.backend().allocate(device.backend().packed_bytes(codes.spec));
  const Weight weight{codes.spec, owner.data()};
  // In two pieces, of which the first ends within a panel.
  const int64_t first = codes.spec.rows / 2 + 1;
  device.backend().pack_weight(device.stream(), codes.source.data(), 0, first, weight);
  device.backend().pack_weight(device.stream(),
                               codes.source.data() + first * codes.spec.source_row_bytes(), first,
                               codes.spec.rows - first, weight);
  device.finish();
  return weight;
}

TEST(GivenCodes, EveryDeviceGivesTheSameExperts) {
  const int64_t width = 96, units = 64, rows = 41;
  const std::vector<GroupQuantization> of_experts = {e4m3_codes(128), mxfp4_codes(),
                                                     e4m3_codes(32)};
  const FfnForm form = {.activation = Activation::kSilu, .glu = GluLayout::kHalves};
  const std::vector<float> x = random_numbers(rows * width, 20);
  const auto run_with = [&](bool keeps_codes) {
    return same_on_all_variants([&](TestDevice& device) {
      GroupedFfnArgs args;
      args.row_offsets = {0, 1, 9, rows};
      args.form = form;
      std::vector<DeviceBuffer> owners(2 * of_experts.size());
      for (size_t e = 0; e < of_experts.size(); ++e) {
        const auto seed = static_cast<uint32_t>(30 + 2 * e);
        const GivenCodes up(of_experts[e], 2 * units, width, seed);
        const GivenCodes down(of_experts[e], width, units, seed + 1);
        ExpertWeights expert;
        expert.up = put(device, up, keeps_codes, owners[2 * e]);
        expert.down = put(device, down, keeps_codes, owners[2 * e + 1]);
        args.experts.push_back(expert);
      }
      const Tensor in = device.put(x, {rows, width});
      const Tensor hidden = device.make({rows, 2 * units});
      const Tensor out = device.make({rows, width});
      args.rows = in.view();
      args.hidden = hidden.view();
      args.out = out.view();
      device.backend().grouped_ffn(device.stream(), args);
      return device.get(out);
    });
  };
  EXPECT_EQ(bits_of(run_with(true)), bits_of(run_with(false)));
}

}  // namespace
}  // namespace switchyard
