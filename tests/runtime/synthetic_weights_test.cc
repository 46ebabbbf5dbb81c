#include "runtime/checkpoint/synthetic_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/model_preset.h"

namespace switchyard {
namespace {

/// Width 64, feed-forward 256, 8 layers: deviations are simple numbers.
const ModelConfig& config() {
  static const ModelConfig kConfig =
      parse_preset(
          "family: fairseq\nlayers: 8\nhidden_size: 64\nffn_size: 256\nheads: 4\nvocab_size: 100\n"
          "max_positions: 32\npositions: learned\nexperts: 4\ndtype: fp32\ntied_output: false\n",
          "tiny.yaml")
          .config;
  return kConfig;
}

std::vector<float> fill(DType dtype, uint64_t seed, const std::string& name,
                        const std::vector<int64_t>& shape, int64_t first, int64_t count) {
  const SyntheticWeights weights(seed);
  std::vector<float> raw(static_cast<size_t>(count));  // as wide as the widest type
  weights.fill(synthetic_tensor(config(), name, shape, dtype), first, count, raw.data());
  std::vector<float> values(static_cast<size_t>(count));
  if (count == 0) return values;
  convert_elements(dtype, raw.data(), DType::kF32, values.data(), count);
  return values;
}

const std::string kMatrix = "decoder.layers.3.self_attn.q_proj.weight";
const std::vector<int64_t> kMatrixShape = {64, 64};

TEST(SyntheticWeightsTest, AnElementDoesNotDependOnWhatElseIsMade) {
  const std::vector<float> all = fill(DType::kF32, 5, kMatrix, kMatrixShape, 0, 4096);
  for (const int64_t first : {0, 1, 2, 3, 4, 7, 1022, 4095}) {
    for (const int64_t count : {0, 1, 2, 3, 4, 5, 9, 1000}) {
      if (first + count > 4096) continue;
      const std::vector<float> part = fill(DType::kF32, 5, kMatrix, kMatrixShape, first, count);
      for (int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(part[static_cast<size_t>(i)], all[static_cast<size_t>(first + i)])
            << first << " + " << i;
      }
    }
  }
}

TEST(SyntheticWeightsTest, NameAndSeedChangeEveryThing) {
  const std::vector<float> one = fill(DType::kF32, 5, kMatrix, kMatrixShape, 0, 4096);
  const auto equal_to = [&](const std::vector<float>& other) {
    int equal = 0;
    for (size_t i = 0; i < one.size(); ++i) equal += one[i] == other[i] ? 1 : 0;
    return equal;
  };
  EXPECT_EQ(equal_to(fill(DType::kF32, 5, kMatrix, kMatrixShape, 0, 4096)), 4096);
  EXPECT_LT(equal_to(fill(DType::kF32, 6, kMatrix, kMatrixShape, 0, 4096)), 5);
  EXPECT_LT(equal_to(fill(DType::kF32, 5, "decoder.layers.4.self_attn.q_proj.weight", kMatrixShape,
                          0, 4096)),
            5);
  // Nor is it the same sequence, shifted.
  EXPECT_LT(equal_to(fill(DType::kF32, 5, kMatrix, kMatrixShape, 4, 4096)), 5);
}

/// These bits are part of what a seed means; they must not change with machine or release. Computed
/// once apart from this program, by Python's statistics.NormalDist().inv_cdf().
TEST(SyntheticWeightsTest, BitsAreFixedForGood) {
  EXPECT_EQ(fill(DType::kF32, 1, kMatrix, kMatrixShape, 0, 6),
            (std::vector<float>{-0x1.b34c7ap-4f, -0x1.c5e602p-5f, 0x1.20f19ep-6f, 0x1.18fbdap-4f,
                                -0x1.22bb22p-5f, -0x1.c194e4p-5f}));
}

TEST(SyntheticWeightsTest, NarrowTypesAreTheRoundedWideOnes) {
  const std::vector<float> wide = fill(DType::kF32, 1, kMatrix, kMatrixShape, 0, 4096);
  const std::vector<float> half = fill(DType::kF16, 1, kMatrix, kMatrixShape, 0, 4096);
  const std::vector<float> brain = fill(DType::kBF16, 1, kMatrix, kMatrixShape, 0, 4096);
  for (size_t i = 0; i < wide.size(); ++i) {
    EXPECT_EQ(half[i], f16_to_f32(f32_to_f16(wide[i])));
    EXPECT_EQ(brain[i], bf16_to_f32(f32_to_bf16(wide[i])));
  }
}

TEST(SyntheticWeightsTest, DistributionIsNormal) {
  constexpr int64_t kCount = 1 << 20;
  const std::vector<float> values =
      fill(DType::kF32, 3, "decoder.embed_tokens.weight", {1 << 14, 64}, 0, kCount);
  double sum = 0, squares = 0;
  std::vector<int> beyond(4);  // k standard deviations
  for (const float value : values) {
    const double z = value * 8.0;  // 64^-1/2
    sum += z;
    squares += z * z;
    for (size_t k = 1; k < beyond.size(); ++k) beyond[k] += z > static_cast<double>(k) ? 1 : 0;
  }
  // Five standard errors.
  EXPECT_NEAR(sum / kCount, 0.0, 5e-3);
  EXPECT_NEAR(squares / kCount, 1.0, 7e-3);
  EXPECT_NEAR(beyond[1] / double{kCount}, 0.158655, 1.8e-3);
  EXPECT_NEAR(beyond[2] / double{kCount}, 0.0227501, 7.3e-4);
  EXPECT_NEAR(beyond[3] / double{kCount}, 0.00134990, 1.8e-4);
  // Neighbours are independent.
  double product = 0;
  for (size_t i = 1; i < values.size(); ++i) product += values[i] * values[i - 1] * 64.0;
  EXPECT_NEAR(product / kCount, 0.0, 5e-3);
}

TEST(SyntheticWeightsTest, EveryTensorHasTheDeviationOfItsRole) {
  std::set<std::string> seen;
  for (const ExpectedTensor& tensor : expected_tensors(config())) {
    const WeightDistribution it = weight_distribution(config(), tensor.name, tensor.shape);
    const auto expect = [&](const char* role, double mean, double deviation) {
      seen.insert(role);
      EXPECT_EQ(it.mean, mean) << tensor.name;
      EXPECT_DOUBLE_EQ(it.standard_deviation, deviation) << tensor.name;
    };
    const auto has = [&](const char* part) { return tensor.name.find(part) != std::string::npos; };
    if (has(".bias")) {
      expect("bias", 0, 0.02);
    } else if (has("norm")) {
      expect("gain", 1, 0.05);
    } else if (has("embed_positions")) {
      expect("positions", 0, 0.3);
    } else if (has("out_proj")) {
      expect("attention output", 0, 0.125 / 4);
    } else if (has("experts") && has("fc2")) {
      expect("expert output", 0, 0.0625 / 4);
    } else if (has("fc2")) {
      expect("output", 0, 0.0625 / 4);
    } else {
      expect("input", 0, 0.125);  // projections, up, gate, embedding, output matrix
    }
  }
  EXPECT_EQ(seen.size(), 7u);
}

TEST(SyntheticWeightsTest, ManyThreadsMayAskAtOnce) {
  const SyntheticWeights weights(1);
  const std::vector<ExpectedTensor> tensors = expected_tensors(config());
  std::vector<std::vector<uint16_t>> first(8), again(8);
  const auto work = [&](std::vector<uint16_t>& to) {
    to.resize(64);
    for (const ExpectedTensor& tensor : tensors) {
      weights.fill(synthetic_tensor(config(), tensor.name, tensor.shape, DType::kF16), 0, 64,
                   to.data());
    }
  };
  std::vector<std::thread> threads;
  for (auto& to : first) threads.emplace_back([&work, &to] { work(to); });
  for (std::thread& thread : threads) thread.join();
  for (auto& to : again) work(to);
  EXPECT_EQ(first, again);
}

}  // namespace
}  // namespace switchyard
