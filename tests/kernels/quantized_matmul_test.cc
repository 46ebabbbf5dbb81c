#include <gtest/gtest.h>

#include <string>

#include "kernels/cpu/matmul_driver.h"
#include "tests/kernels/quantized_case.h"
#include "tests/kernels/test_device.h"

namespace switchyard {
namespace {

std::vector<float> run(InstructionSet set, int threads, const std::vector<float>& x, int64_t m,
                       const Weight& w) {
  ThreadPool pool(threads);
  cpu::MatmulScratch scratch(threads);
  std::vector<float> out(static_cast<size_t>(m * w.spec.rows), std::nanf(""));
  cpu::matmul(cpu_kernels(set), pool, scratch,
              {.x = x.data(), .num_rows = m, .w = w, .out = out.data()});
  return out;
}

/// A quantised matrix and the same numbers in fp32.
struct Pair {
  Pair(GroupQuantization quantization, int64_t n, int64_t k, uint32_t seed)
      : quantized({DType::kF16, n, k, quantization}, random_numbers(n * k, seed)),
        plain(DType::kF32, n, k, quantized.elements()) {}
  QuantizedWeight quantized;
  TestWeight plain;
};

class QuantizedMatmulTest : public ::testing::TestWithParam<int> {};

TEST_P(QuantizedMatmulTest, EqualsTheMatmulOfItsElements) {
  // Groups that divide K, that do not, that are longer; N with and without padding.
  for (const auto& [n, k, group] : {std::tuple<int64_t, int64_t, int64_t>{64, 256, 64},
                                    {33, 300, 128},
                                    {300, 77, 16},
                                    {1, 7, 8},
                                    {97, 30, 64},
                                    {31, 41, 24}}) {
    const Pair pair({GetParam(), group}, n, k, 1);
    const std::vector<float> x = random_numbers(13 * k, 2);
    for (const InstructionSet set : supported_sets()) {
      for (const int64_t m : {1, 2, 3, 7, 12, 13}) {
        ASSERT_EQ(bits_of(run(set, 1, x, m, pair.quantized.weight())),
                  bits_of(run(set, 1, x, m, pair.plain.weight())))
            << name_of(set) << " m " << m << " n " << n << " k " << k << " group " << group;
      }
    }
  }
}

TEST_P(QuantizedMatmulTest, RowsAndThreadsChangeNothing) {
  const int64_t m = 400, n = 323, k = 601;
  const Pair pair({GetParam(), 40}, n, k, 3);
  const std::vector<float> x = random_numbers(m * k, 4);
  const InstructionSet best = best_instruction_set();
  const std::vector<float> expected = run(best, 1, x, m, pair.plain.weight());
  for (const int threads : {1, 2, 3}) {
    for (const int64_t rows : {1, 2, 3, 7, 12, 13, 64, 400}) {
      const std::vector<float> first(expected.begin(), expected.begin() + rows * n);
      ASSERT_EQ(bits_of(run(best, threads, x, rows, pair.quantized.weight())), bits_of(first))
          << rows << " rows on " << threads << " threads";
    }
  }
}

TEST_P(QuantizedMatmulTest, InstructionSetsAgreeOnManyRows) {
  const int64_t m = 40, n = 65, k = 300;
  const Pair pair({GetParam(), 64}, n, k, 5);
  const std::vector<float> x = random_numbers(m * k, 6);
  const std::vector<float> expected =
      run(InstructionSet::kPortable, 2, x, m, pair.quantized.weight());
  for (const InstructionSet set : supported_sets()) {
    EXPECT_EQ(bits_of(run(set, 2, x, m, pair.quantized.weight())), bits_of(expected))
        << name_of(set);
  }
}

TEST_P(QuantizedMatmulTest, NanReachesItsOutputsOnly) {
  const int64_t m = 14, n = 35, k = 40;
  std::vector<float> numbers = random_numbers(n * k, 7);
  numbers[33 * k + 19] = std::nanf("");
  const QuantizedWeight w({DType::kF32, n, k, {GetParam(), 16}}, numbers);
  const std::vector<float> x = random_numbers(m * k, 8);
  for (const InstructionSet set : supported_sets()) {
    const std::vector<float> out = run(set, 1, x, m, w.weight());
    for (int64_t i = 0; i < m * n; ++i) {
      EXPECT_EQ(std::isnan(out[static_cast<size_t>(i)]), i % n == 33) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Bits, QuantizedMatmulTest, ::testing::Values(8, 4, 3, 2),
                         [](const auto& each) { return "int" + std::to_string(each.param); });

using testing::same_on_all_variants;
using testing::TestDevice;

/// An expert's matrices, quantised or the same numbers in fp32.
struct Expert {
  DeviceBuffer up_owner, down_owner;
  ExpertWeights weights;
};

/// The elements of `numbers` after quantising.
std::vector<float> rounded(const std::vector<float>& numbers, const WeightSpec& spec) {
  return spec.quantization.is_on() ? QuantizedWeight(spec, numbers).elements() : numbers;
}

TEST(QuantizedGroupedFfn, EveryFormEqualsThatOfItsElements) {
  const int64_t width = 40, units = 48, rows = 21;
  const std::vector<FfnForm> forms = {{.activation = Activation::kGelu},
                                      {.activation = Activation::kSilu, .glu = GluLayout::kHalves},
                                      {.activation = Activation::kSilu,
                                       .glu = GluLayout::kInterleaved,
                                       .limit = 7.0f,
                                       .gate_scale = 1.702f,
                                       .up_offset = 1.0f}};
  const std::vector<float> x = random_numbers(rows * width, 20);
  for (const FfnForm& form : forms) {
    const int64_t up_rows = units * form.rows_per_unit();
    // Experts of different forms may stand side by side.
    const std::vector<GroupQuantization> of_experts = {{4, 64}, {}, {2, 16}, {8, 24}};
    const auto run_with = [&](bool keeps_codes) {
      return same_on_all_variants([&](TestDevice& device) {
        std::vector<Expert> experts(of_experts.size());
        GroupedFfnArgs args;
        args.row_offsets = {0, 1, 1, 9, rows};
        args.form = form;
        for (size_t e = 0; e < experts.size(); ++e) {
          WeightSpec up = {DType::kF32, up_rows, width, of_experts[e]};
          WeightSpec down = {DType::kF32, width, units, of_experts[e]};
          const auto seed = static_cast<uint32_t>(21 + 2 * e);
          std::vector<float> up_numbers = random_numbers(up_rows * width, seed, 0.2f);
          std::vector<float> down_numbers = random_numbers(width * units, seed + 1, 0.2f);
          if (!keeps_codes) {
            up_numbers = rounded(up_numbers, up);
            down_numbers = rounded(down_numbers, down);
            up.quantization = down.quantization = {};
          }
          Expert& expert = experts[e];
          expert.weights.up = device.put_weight(up_numbers, up, expert.up_owner);
          expert.weights.down = device.put_weight(down_numbers, down, expert.down_owner);
          args.experts.push_back(expert.weights);
        }
        const Tensor in = device.put(x, {rows, width});
        const Tensor hidden = device.make({rows, up_rows});
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
}

TEST(QuantizedWeights, AreNoTableToEmbedFrom) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  DeviceBuffer owner;
  const Weight table =
      device.put_weight(random_numbers(4 * 64, 30), {DType::kF32, 4, 64, {4, 64}}, owner);
  const Tensor ids = device.put(std::vector<int32_t>{1}, {1});
  const Tensor out = device.make({1, 64});
  EmbedArgs args;
  args.ids = ids.view();
  args.table = table;
  args.out = out.view();
  testing::expect_error([&] { device.backend().embed(device.stream(), args); },
                        ErrorKind::kInternal, "table is quantised");
}

}  // namespace
}  // namespace switchyard
