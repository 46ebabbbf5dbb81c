// grouped_ffn with a gate between its matrices, and experts of different sizes.
#include <algorithm>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

constexpr int64_t kWidth = 24;

// Experts of the given sizes; every second one has biases.
struct Experts {
  Experts(TestDevice& device, DType dtype, const FfnForm& form, const std::vector<int64_t>& sizes) {
    uint32_t seed = 1;
    for (const int64_t ffn : sizes) {
      const int64_t up_rows = ffn * form.rows_per_unit();
      const bool is_biased = seed % 2 == 0;
      ExpertWeights expert;
      expert.up = put(device, dtype, up_rows, kWidth, seed);
      expert.down = put(device, dtype, kWidth, ffn, seed + 100);
      if (is_biased) {
        biases.push_back(device.put(random_floats(up_rows, seed + 200), {up_rows}));
        expert.up_bias = biases.back().view();
        biases.push_back(device.put(random_floats(kWidth, seed + 300), {kWidth}));
        expert.down_bias = biases.back().view();
      }
      weights.push_back(expert);
      largest_up = std::max(largest_up, up_rows);
      ++seed;
    }
  }

  Weight put(TestDevice& device, DType dtype, int64_t rows, int64_t cols, uint32_t seed) {
    memory.emplace_back();
    return device.put_weight(random_floats(rows * cols, seed), {dtype, rows, cols}, memory.back());
  }

  std::vector<DeviceBuffer> memory;
  std::vector<Tensor> biases;
  std::vector<ExpertWeights> weights;
  int64_t largest_up = 0;
};

struct Case {
  FfnForm form;
  std::vector<int64_t> sizes;       // of the experts
  std::vector<int64_t> group_rows;  // of each expert's group
};

int64_t num_rows(const Case& c) {
  int64_t rows = 0;
  for (const int64_t group : c.group_rows) rows += group;
  return rows;
}

std::vector<float> run(TestDevice& device, const Case& c) {
  const Experts experts(device, DType::kBF16, c.form, c.sizes);
  const int64_t rows = num_rows(c);
  const Tensor x = device.put(random_floats(rows * kWidth, 7), {rows, kWidth});
  const Tensor hidden = device.make({rows, experts.largest_up});
  const Tensor out = device.make({rows, kWidth});
  GroupedFfnArgs args;
  args.rows = x.view();
  args.row_offsets = {0};
  for (const int64_t group : c.group_rows) {
    args.row_offsets.push_back(args.row_offsets.back() + group);
  }
  args.experts = experts.weights;
  args.form = c.form;
  args.hidden = hidden.view();
  args.out = out.view();
  device.backend().grouped_ffn(device.stream(), args);
  return device.get(out);
}

// The definition: matmul, glu, matmul for every row alone.
std::vector<float> row_by_row(TestDevice& device, const Case& c) {
  const Experts experts(device, DType::kBF16, c.form, c.sizes);
  Backend& backend = device.backend();
  const std::vector<float> x = random_floats(num_rows(c) * kWidth, 7);
  std::vector<float> out;
  int64_t row = 0;
  for (size_t g = 0; g < c.sizes.size(); ++g) {
    const ExpertWeights& expert = experts.weights[g];
    const int64_t up_rows = expert.up.spec.rows;
    const Tensor in = device.make({1, kWidth});
    const Tensor up = device.make({1, up_rows});
    const Tensor units = device.make({1, c.sizes[g]});
    const Tensor down = device.make({1, kWidth});
    for (int64_t i = 0; i < c.group_rows[g]; ++i, ++row) {
      backend.copy_to_device(device.stream(), x.data() + row * kWidth, in.view());
      const bool is_gated = c.form.glu != GluLayout::kNone;
      const Activation activation = is_gated ? Activation::kNone : c.form.activation;
      const TensorView& hidden = is_gated ? units.view() : up.view();
      backend.matmul(device.stream(),
                     {in.view(), expert.up, expert.up_bias, activation, {}, up.view()});
      if (is_gated) backend.glu(device.stream(), {up.view(), c.form, units.view()});
      backend.matmul(device.stream(),
                     {hidden, expert.down, expert.down_bias, Activation::kNone, {}, down.view()});
      append(out, device.get(down));
    }
  }
  return out;
}

TEST(GatedFfn, EqualsMatmulGluMatmulOfEachRow) {
  const FfnForm swiglu{.activation = Activation::kSilu, .glu = GluLayout::kHalves};
  const FfnForm clamped{.activation = Activation::kSilu,
                        .glu = GluLayout::kInterleaved,
                        .limit = 1.5f,
                        .gate_scale = 1.702f,
                        .up_offset = 1.0f};
  const FfnForm plain{.activation = Activation::kRelu};
  for (const FfnForm& form : {swiglu, clamped, plain}) {
    for (const Case& c : {Case{form, {40, 40, 40, 40}, {1, 1, 1, 1}},
                          Case{form, {33, 7, 64, 1, 40}, {5, 0, 13, 2, 1}},
                          Case{form, {17, 600}, {900, 30}}, Case{form, {9, 5}, {0, 0}}}) {
      TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
      const std::vector<float> expected = row_by_row(device, c);
      const std::vector<float> out =
          same_on_all_variants([&](TestDevice& each) { return run(each, c); });
      expect_same_bits(expected, out, std::to_string(c.sizes[0]));
    }
  }
}

TEST(GatedFfn, RefusesMatricesThatDoNotFit) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const FfnForm swiglu{.activation = Activation::kSilu, .glu = GluLayout::kHalves};
  const Experts gated(device, DType::kF32, swiglu, {16});
  const Tensor x = device.put(random_floats(2 * kWidth, 1), {2, kWidth});
  const Tensor out = device.make({2, kWidth});
  const auto call = [&](const FfnForm& form, int64_t hidden_width) {
    const Tensor hidden = device.make({2, hidden_width});
    device.backend().grouped_ffn(
        device.stream(), {x.view(), {0, 2}, gated.weights, form, hidden.view(), out.view()});
  };
  call(swiglu, 32);
  expect_error([&] { call(swiglu, 31); }, ErrorKind::kInternal,
               "grouped_ffn: hidden is narrower than an expert's up matrix");
  expect_error([&] { call({}, 32); }, ErrorKind::kInternal,
               "grouped_ffn: up is fp32 [32, 24], expected fp32 [16, 24]");
  expect_error([&] { call({.limit = 1.0f}, 32); }, ErrorKind::kInternal, "has no gate to limit");
}

}  // namespace
}  // namespace switchyard::testing
