#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

struct Case {
  int64_t tokens, top_k, width;
  int32_t num_experts;
};

struct Inputs {
  std::vector<float> rows, weights, residual;
  std::vector<int32_t> idx;
};

Inputs make_inputs(const Case& c) {
  Inputs in{random_floats(c.tokens * c.top_k * c.width, 1),
            random_floats(c.tokens * c.top_k, 2),
            random_floats(c.tokens * c.width, 3),
            {}};
  std::mt19937 generator(4);
  std::vector<int32_t> experts(static_cast<size_t>(c.num_experts));
  std::iota(experts.begin(), experts.end(), 0);
  for (int64_t t = 0; t < c.tokens; ++t) {
    for (size_t i = 0; i < static_cast<size_t>(c.top_k); ++i) {
      std::swap(experts[i], experts[i + generator() % (experts.size() - i)]);
    }
    in.idx.insert(in.idx.end(), experts.begin(), experts.begin() + c.top_k);
  }
  return in;
}

// The sum over experts [first, first + size) of the whole tree, absent blocks left out.
std::optional<float> block_sum(const std::map<int32_t, float>& terms, int32_t first, int32_t size) {
  if (size == 1) {
    const auto term = terms.find(first);
    return term == terms.end() ? std::nullopt : std::optional(term->second);
  }
  const auto lower = block_sum(terms, first, size / 2);
  const auto upper = block_sum(terms, first + size / 2, size / 2);
  if (lower && upper) return *lower + *upper;
  return lower ? lower : upper;
}

std::vector<float> reference(const Case& c, const Inputs& in, bool with_residual) {
  std::vector<float> out;
  for (int64_t t = 0; t < c.tokens; ++t) {
    for (int64_t i = 0; i < c.width; ++i) {
      std::map<int32_t, float> terms;
      for (int64_t j = t * c.top_k; j < (t + 1) * c.top_k; ++j) {
        terms[in.idx[static_cast<size_t>(j)]] =
            in.weights[static_cast<size_t>(j)] * in.rows[static_cast<size_t>(j * c.width + i)];
      }
      const float sum = *block_sum(terms, 0, 128);
      const float before = in.residual[static_cast<size_t>(t * c.width + i)];
      out.push_back(with_residual ? before + sum : sum);
    }
  }
  return out;
}

std::vector<float> run(TestDevice& device, const Case& c, const Inputs& in, bool with_residual) {
  const Tensor rows = device.put(in.rows, {c.tokens * c.top_k, c.width});
  const Tensor idx = device.put(in.idx, {c.tokens, c.top_k});
  const Tensor weights = device.put(in.weights, {c.tokens, c.top_k});
  const Tensor out = device.put(in.residual, {c.tokens, c.width});
  device.backend().combine(device.stream(),
                           {rows.view(), idx.view(), weights.view(),
                            with_residual ? out.view() : TensorView(), out.view()});
  return device.get(out);
}

TEST(Combine, FollowsTheTreeExactly) {
  for (const Case& c : {Case{3, 1, 5, 4},
                        {50, 2, 70, 8},
                        {20, 3, 33, 7},
                        {9, 8, 64, 13},
                        {2, 64, 130, 100},
                        {400, 2, 96, 128}}) {
    const Inputs in = make_inputs(c);
    for (const bool with_residual : {false, true}) {
      const std::vector<float> out = same_on_all_variants(
          [&](TestDevice& device) { return run(device, c, in, with_residual); });
      expect_same_bits(reference(c, in, with_residual), out, std::to_string(c.top_k));
    }
  }
}

float sigmoid(float x) { return 1.0f / (1.0f + std::exp(-x)); }

TEST(Combine, SharedExpertAndBranchScaleFollowTheSum) {
  const Case c{70, 3, 150, 16};
  const Inputs in = make_inputs(c);
  const std::vector<float> shared = random_floats(c.tokens * c.width, 5);
  const std::vector<float> gates = random_floats(c.tokens, 6, 20.0f);
  const std::vector<float> sums = reference(c, in, false);
  for (const bool is_gated : {false, true}) {
    for (const float scale : {1.0f, 0.22f}) {
      const std::vector<float> out = same_on_all_variants([&](TestDevice& device) {
        const Tensor rows = device.put(in.rows, {c.tokens * c.top_k, c.width});
        const Tensor idx = device.put(in.idx, {c.tokens, c.top_k});
        const Tensor weights = device.put(in.weights, {c.tokens, c.top_k});
        const Tensor x = device.put(in.residual, {c.tokens, c.width});
        const Tensor shared_rows = device.put(shared, {c.tokens, c.width});
        const Tensor gate = device.put(gates, {c.tokens, 1});
        CombineArgs args{rows.view(), idx.view(), weights.view(), x.view(), x.view()};
        args.shared = shared_rows.view();
        if (is_gated) args.shared_gate = gate.view();
        args.branch_scale = scale;
        device.backend().combine(device.stream(), args);
        return device.get(x);
      });
      for (size_t i = 0; i < out.size(); ++i) {
        if (is_gated) {
          const float gate = sigmoid(gates[i / static_cast<size_t>(c.width)]);
          const float expected = in.residual[i] + scale * (sums[i] + gate * shared[i]);
          ASSERT_NEAR(out[i], expected, 2e-6f);
          continue;
        }
        // Without a gate every rounding is known.
        const float branch = scale * (sums[i] + shared[i]);
        ASSERT_EQ(out[i], in.residual[i] + branch);
      }
    }
  }
}

TEST(Combine, SharedExpertStandsAloneWhereNoChoiceIsLeft) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Tensor rows = device.put(std::vector<float>(2, nan), {1, 2});
  const Tensor idx = device.put(std::vector<int32_t>{-1}, {1, 1});
  const Tensor weights = device.put(std::vector<float>{0.0f}, {1, 1});
  const Tensor shared = device.put(std::vector<float>{3.0f, -2.0f}, {1, 2});
  const Tensor gate = device.put(std::vector<float>{0.0f}, {1, 1});
  const Tensor out = device.make({1, 2});
  CombineArgs args{rows.view(), idx.view(), weights.view(), {}, out.view()};
  args.shared_gate = gate.view();
  expect_error([&] { device.backend().combine(device.stream(), args); }, ErrorKind::kInternal,
               "combine: shared_gate stands without a shared expert");
  args.shared = shared.view();
  device.backend().combine(device.stream(), args);
  EXPECT_EQ(device.get(out), (std::vector<float>{1.5f, -1.0f}));
}

TEST(Combine, OrderOfChoiceDoesNotMatter) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Case c{1, 5, 3, 32};
  Inputs in = make_inputs(c);
  const std::vector<float> first = run(device, c, in, true);
  std::reverse(in.idx.begin(), in.idx.end());
  std::reverse(in.weights.begin(), in.weights.end());
  for (int64_t j = 0; j < 2; ++j) {
    std::swap_ranges(in.rows.begin() + j * 3, in.rows.begin() + (j + 1) * 3,
                     in.rows.begin() + (4 - j) * 3);
  }
  expect_same_bits(first, run(device, c, in, true), "reversed");
}

TEST(Combine, ChoicesWithoutAnExpertAreLeftOut) {
  const Case c{3, 2, 70, 8};
  Inputs in = make_inputs(c);
  in.idx = {3, -1, -1, 5, -1, -1};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const int64_t row : {1, 2, 4, 5}) {  // nobody wrote these rows
    std::fill_n(in.rows.begin() + row * c.width, c.width, nan);
  }
  const std::vector<float> out =
      same_on_all_variants([&](TestDevice& device) { return run(device, c, in, true); });
  for (size_t i = 0; i < 70; ++i) {
    EXPECT_EQ(out[i], in.residual[i] + in.weights[0] * in.rows[i]);
    EXPECT_EQ(out[70 + i], in.residual[70 + i] + in.weights[3] * in.rows[3 * 70 + i]);
    EXPECT_EQ(out[140 + i], in.residual[140 + i]);
  }
}

TEST(Combine, RefusesTooManyChoices) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Case c{1, 65, 3, 100};
  expect_error([&] { run(device, c, make_inputs(c), true); }, ErrorKind::kInternal,
               "combine: top_k is not in 1 .. 64");
}

}  // namespace
}  // namespace switchyard::testing
