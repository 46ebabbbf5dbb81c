#include "kernels/cpu/grouped_ffn_driver.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>

#include "tests/kernels/cpu_variants.h"

namespace switchyard {
namespace {

constexpr int64_t kHidden = 19;
constexpr int64_t kFfn = 41;

/// Experts of random weights and groups of rows.
struct Groups {
  Groups(DType dtype, const std::vector<int64_t>& sizes) {
    offsets.push_back(0);
    for (size_t g = 0; g < sizes.size(); ++g) {
      const auto seed = static_cast<uint32_t>(10 * g);
      ups.push_back(std::make_unique<TestWeight>(dtype, kFfn, kHidden,
                                                 random_numbers(kFfn * kHidden, seed + 1)));
      downs.push_back(std::make_unique<TestWeight>(dtype, kHidden, kFfn,
                                                   random_numbers(kFfn * kHidden, seed + 2)));
      up_biases.push_back(random_numbers(kFfn, seed + 3));
      down_biases.push_back(random_numbers(kHidden, seed + 4));
      offsets.push_back(offsets.back() + sizes[g]);
    }
    for (size_t g = 0; g < sizes.size(); ++g) {
      // Every third expert has no biases.
      const bool biased = g % 3 != 2;
      experts.push_back({ups[g]->weight(), biased ? up_biases[g].data() : nullptr,
                         downs[g]->weight(), biased ? down_biases[g].data() : nullptr});
    }
    rows = random_numbers(offsets.back() * kHidden, 5);
  }

  std::vector<float> run(InstructionSet set, int threads, Activation activation) const {
    ThreadPool pool(threads);
    cpu::MatmulScratch scratch(threads);
    std::vector<float> hidden(static_cast<size_t>(offsets.back() * kFfn));
    std::vector<float> out(rows.size());
    cpu::grouped_ffn(cpu_kernels(set), pool, scratch,
                     {.rows = rows.data(),
                      .row_offsets = offsets.data(),
                      .experts = experts.data(),
                      .num_groups = static_cast<int64_t>(experts.size()),
                      .form = {.activation = activation},
                      .hidden = hidden.data(),
                      .hidden_width = kFfn,
                      .out = out.data()});
    return out;
  }

  /// The definition: two matmuls per group, one row at a time, one thread.
  std::vector<float> row_by_row(Activation activation) const {
    ThreadPool pool(1);
    cpu::MatmulScratch scratch(1);
    const CpuKernels& kernels = cpu_kernels(InstructionSet::kAuto);
    std::vector<float> out(rows.size());
    std::vector<float> hidden(kFfn);
    for (size_t g = 0; g < experts.size(); ++g) {
      for (int64_t row = offsets[g]; row < offsets[g + 1]; ++row) {
        cpu::matmul(kernels, pool, scratch,
                    {.x = rows.data() + row * kHidden,
                     .num_rows = 1,
                     .w = experts[g].up,
                     .bias = experts[g].up_bias,
                     .activation = activation,
                     .out = hidden.data()});
        cpu::matmul(kernels, pool, scratch,
                    {.x = hidden.data(),
                     .num_rows = 1,
                     .w = experts[g].down,
                     .bias = experts[g].down_bias,
                     .out = out.data() + row * kHidden});
      }
    }
    return out;
  }

  std::vector<std::unique_ptr<TestWeight>> ups, downs;
  std::vector<std::vector<float>> up_biases, down_biases;
  std::vector<cpu::HostExpert> experts;
  std::vector<int64_t> offsets;
  std::vector<float> rows;
};

class GroupedFfnTest : public testing::TestWithParam<DType> {};

TEST_P(GroupedFfnTest, EqualsRowByRowForAnyGroupsSetsAndThreads) {
  const std::vector<std::vector<int64_t>> layouts = {
      {1, 1, 1, 1, 1, 1, 1, 1, 1},  // decoding: one row an expert
      {0, 5, 0, 0, 1, 13, 0},       // uneven, first and last empty
      {390, 2, 40},                 // several blocks of rows
      {0, 0, 0},                    // no rows at all
      {},
  };
  for (const auto& sizes : layouts) {
    const Groups groups(GetParam(), sizes);
    for (const Activation activation : {Activation::kGelu, Activation::kRelu, Activation::kNone}) {
      const std::vector<uint32_t> expected = bits_of(groups.row_by_row(activation));
      for (const InstructionSet set : supported_sets()) {
        for (const int threads : {1, 2, 3}) {
          // Numbers of threads matter to the driver alone, not to the slow portable loops.
          if (set == InstructionSet::kPortable && threads != 2) continue;
          ASSERT_EQ(bits_of(groups.run(set, threads, activation)), expected)
              << name_of(set) << ", " << threads << " threads, " << sizes.size() << " groups";
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, GroupedFfnTest,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& each) { return std::string(name_of(each.param)); });

TEST(GroupedFfn, MoreRowsThanTheScratchHoldsTakeSeveralTurns) {
  // 160 groups of 40 rows of 41 inputs: 1.0 MiB packed, twice one thread's scratch.
  const Groups groups(DType::kBF16, std::vector<int64_t>(160, 40));
  EXPECT_EQ(bits_of(groups.run(InstructionSet::kAuto, 1, Activation::kGelu)),
            bits_of(groups.row_by_row(Activation::kGelu)));
}

TEST(GroupedFfn, RefusesOffsetsThatDescendAndMatricesThatDoNotFit) {
  Groups descending(DType::kF32, {2, 2});
  descending.offsets = {0, 3, 2};
  descending.rows.resize(5 * kHidden);
  EXPECT_THROW(descending.run(InstructionSet::kAuto, 1, Activation::kNone), Error);
  Groups mixed(DType::kF32, {2, 2});
  mixed.experts[1].down = mixed.experts[1].up;
  EXPECT_THROW(mixed.run(InstructionSet::kAuto, 1, Activation::kNone), Error);
}

}  // namespace
}  // namespace switchyard
