// Products on tensor cores: what rounding operands to 16 bits gives, and that rows do not depend on
// each other.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/given_codes_case.h"
#include "tests/kernels/tensor_core_device.h"

namespace switchyard {
namespace {

using testing::append;
using testing::expect_same_bits;
using testing::random_floats;
using testing::TestDevice;

/// A weight and what a device with tensor cores makes of rows.
class TensorCoreTest : public testing::TensorCoreDeviceTest {
 protected:
  /// x w^T of some device.
  static std::vector<float> multiply(TestDevice& device, const std::vector<float>& x,
                                     const std::vector<float>& w, const WeightSpec& spec) {
    DeviceBuffer owner;
    return multiply(device, x, device.put_weight(w, spec, owner));
  }
  static std::vector<float> multiply(TestDevice& device, const std::vector<float>& x,
                                     const Weight& weight) {
    const WeightSpec& spec = weight.spec;
    const int64_t rows = static_cast<int64_t>(x.size()) / spec.cols;
    Tensor in = device.put(x, {rows, spec.cols});
    Tensor out = device.make({rows, spec.rows});
    device.backend().matmul(
        device.stream(),
        {.x = in.view(), .w = weight, .bias = {}, .residual = {}, .out = out.view()});
    return device.get(out);
  }

  /// The numbers that a packed weight stands for: its product with each unit vector.
  static std::vector<float> elements_of(const std::vector<float>& w, const WeightSpec& spec) {
    TestDevice cpu({.kind = BackendKind::kCpu});
    std::vector<float> identity(static_cast<size_t>(spec.cols * spec.cols));
    for (int64_t i = 0; i < spec.cols; ++i) identity[static_cast<size_t>(i * spec.cols + i)] = 1;
    const std::vector<float> columns = multiply(cpu, identity, w, spec);  // [K, N]
    std::vector<float> out(columns.size());
    for (int64_t n = 0; n < spec.rows; ++n) {
      for (int64_t k = 0; k < spec.cols; ++k) {
        out[static_cast<size_t>(n * spec.cols + k)] =
            columns[static_cast<size_t>(k * spec.rows + n)];
      }
    }
    return out;
  }

  /// Fails unless each output is the sum of rounded operands, to K roundings of fp32.
  void expect_products(const std::vector<float>& x, const std::vector<float>& elements,
                       const WeightSpec& spec, const std::vector<float>& out) const {
    const auto cols = static_cast<size_t>(spec.cols);
    const auto outputs = static_cast<size_t>(spec.rows);
    ASSERT_EQ(out.size() * cols, x.size() * outputs);
    for (size_t i = 0; i < out.size(); ++i) {
      double sum = 0;
      double magnitude = 0;
      for (size_t k = 0; k < cols; ++k) {
        const double product = static_cast<double>(rounded(x[i / outputs * cols + k])) *
                               rounded(elements[i % outputs * cols + k]);
        sum += product;
        magnitude += std::abs(product);
      }
      const double tolerance = static_cast<double>(cols) * 0x1p-24 * magnitude;
      ASSERT_NEAR(out[i], sum, tolerance) << "row " << i / outputs << ", output " << i % outputs;
    }
  }
};

std::vector<float> small_integers(int64_t count, uint32_t seed) {
  std::vector<float> values = random_floats(count, seed, 8.0f);
  for (float& value : values) value = std::floor(value);
  return values;
}

TEST_P(TensorCoreTest, SmallIntegersAreExact) {
  const WeightSpec spec{DType::kBF16, 150, 331};
  const std::vector<float> w = small_integers(spec.rows * spec.cols, 1);
  for (const int64_t rows : {1, 9, 17, 70, 130}) {
    const std::vector<float> x = small_integers(rows * spec.cols, 2);
    TestDevice cpu({.kind = BackendKind::kCpu});
    expect_same_bits(multiply(cpu, x, w, spec), multiply(device(), x, w, spec), "integers");
  }
}

TEST_P(TensorCoreTest, EveryTypeOfWeightIsRounded) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const WeightSpec spec{dtype, 70, 129};
    const std::vector<float> w = random_floats(spec.rows * spec.cols, 3);
    const std::vector<float> x = random_floats(20 * spec.cols, 4);
    expect_products(x, elements_of(w, spec), spec, multiply(device(), x, w, spec));
  }
}

TEST_P(TensorCoreTest, ElementsOfQuantizedWeightsAreRounded) {
  for (const int bits : {8, 4, 3, 2}) {
    const WeightSpec spec{DType::kF32, 70, 100, {bits, bits < 4 ? 16 : 32}};
    const std::vector<float> w = random_floats(spec.rows * spec.cols, 5);
    for (const int64_t rows : {3, 20, 140}) {
      const std::vector<float> x = random_floats(rows * spec.cols, 6);
      expect_products(x, elements_of(w, spec), spec, multiply(device(), x, w, spec));
    }
  }
}

TEST_P(TensorCoreTest, NumbersOfGivenCodesAreRounded) {
  for (const GroupQuantization& quantization : {e4m3_codes(128), e4m3_codes(24), mxfp4_codes()}) {
    const GivenCodes codes(quantization, 70, 288, 5);
    DeviceBuffer owner;
    const Weight weight = device().put_rows(codes.source, codes.spec, owner);
    for (const int64_t rows : {3, 20, 140}) {
      const std::vector<float> x = random_floats(rows * codes.spec.cols, 6);
      expect_products(x, codes.numbers(), codes.spec, multiply(device(), x, weight));
    }
  }
}

/// The bits of every row, alone and among as many others as every form of the kernels takes.
/// `inputs` 800 of few outputs are cut into three segments, 200 are one.
TEST_P(TensorCoreTest, RowsDoNotDependOnEachOther) {
  const DType same = GetParam() == Arithmetic::kBf16 ? DType::kBF16 : DType::kF16;
  const std::vector<WeightSpec> specs = {
      {DType::kF32, 70, 800}, {same, 70, 800}, {same, 200, 200}, {DType::kF32, 70, 800, {4, 32}}};
  for (const WeightSpec& spec : specs) {
    constexpr int64_t kMost = 258;
    const std::vector<float> w = random_floats(spec.rows * spec.cols, 7);
    const std::vector<float> x = random_floats(kMost * spec.cols, 8);
    std::vector<float> alone;
    for (int64_t row = 0; row < kMost; row += row < 70 ? 1 : 16) {
      const auto begin = x.begin() + row * spec.cols;
      const auto end = x.begin() + std::min(kMost, row + (row < 70 ? 1 : 16)) * spec.cols;
      append(alone, multiply(device(), {begin, end}, w, spec));
    }
    for (const int64_t rows : {2, 16, 17, 64, 66, 129, 256, 258}) {
      const std::vector<float> part(x.begin(), x.begin() + rows * spec.cols);
      const std::vector<float> expected(alone.begin(), alone.begin() + rows * spec.rows);
      expect_same_bits(expected, multiply(device(), part, w, spec), concat(rows, " rows"));
    }
    expect_products(x, elements_of(w, spec), spec, alone);
  }
}

TEST_P(TensorCoreTest, WhatStandsBehindTheSumIsFp32) {
  const WeightSpec spec{GetParam() == Arithmetic::kBf16 ? DType::kBF16 : DType::kF16, 66, 520};
  const std::vector<float> w = small_integers(spec.rows * spec.cols, 9);
  for (const int64_t rows : {5, 33, 131}) {
    const std::vector<float> x = small_integers(rows * spec.cols, 10);
    const std::vector<float> bias = random_floats(spec.rows, 11);
    const std::vector<float> residual = random_floats(rows * spec.rows, 12);
    const auto run = [&](TestDevice& device) {
      DeviceBuffer owner;
      const Weight weight = device.put_weight(w, spec, owner);
      Tensor in = device.put(x, {rows, spec.cols});
      Tensor bias_in = device.put(bias, {spec.rows});
      Tensor out = device.put(residual, {rows, spec.rows});
      device.backend().matmul(device.stream(), {.x = in.view(),
                                                .w = weight,
                                                .bias = bias_in.view(),
                                                .activation = Activation::kGelu,
                                                .residual = out.view(),
                                                .out = out.view(),
                                                .scale = 0.3f});
      return device.get(out);
    };
    TestDevice cpu({.kind = BackendKind::kCpu});
    expect_same_bits(run(cpu), run(device()), concat(rows, " rows"));
  }
}

/// A gated expert alone and among others, with few and with many rows.
TEST_P(TensorCoreTest, ExpertsDoNotDependOnTheirRows) {
  constexpr int64_t kWidth = 40;
  constexpr int64_t kUnits = 24;
  for (const GluLayout glu : {GluLayout::kNone, GluLayout::kHalves, GluLayout::kInterleaved}) {
    const FfnForm form{Activation::kSilu, glu};
    const int64_t up_rows = kUnits * form.rows_per_unit();
    DeviceBuffer owners[2];
    const Weight up = device().put_weight(random_floats(up_rows * kWidth, 13),
                                          {DType::kBF16, up_rows, kWidth}, owners[0]);
    const Weight down = device().put_weight(random_floats(kWidth * kUnits, 14),
                                            {DType::kBF16, kWidth, kUnits}, owners[1]);
    const auto run = [&](const std::vector<float>& rows, std::vector<int64_t> offsets) {
      Tensor in = device().put(rows, {offsets.back(), kWidth});
      Tensor hidden = device().make({offsets.back(), up_rows});
      Tensor out = device().make({offsets.back(), kWidth});
      const std::vector<ExpertWeights> experts(offsets.size() - 1, {up, {}, down, {}});
      device().backend().grouped_ffn(device().stream(), {.rows = in.view(),
                                                         .row_offsets = std::move(offsets),
                                                         .experts = experts,
                                                         .form = form,
                                                         .hidden = hidden.view(),
                                                         .out = out.view()});
      return device().get(out);
    };
    const std::vector<float> rows = random_floats(40 * kWidth, 15);
    std::vector<float> alone;
    for (int64_t row = 0; row < 40; ++row) {
      append(alone, run({rows.begin() + row * kWidth, rows.begin() + (row + 1) * kWidth}, {0, 1}));
    }
    expect_same_bits(alone, run(rows, {0, 3, 3, 40}), "groups");
  }
}

/// So many units that kernels of many rows give them rounded, which those of few rows do not: equal
/// bits say that rounding, biases and activations are the same in both.
TEST_P(TensorCoreTest, HiddenUnitsAreTheSameInEveryKernel) {
  const DType same = GetParam() == Arithmetic::kBf16 ? DType::kBF16 : DType::kF16;
  constexpr int64_t kWidth = 72;
  constexpr int64_t kRows = 140;
  struct Case {
    FfnForm form;
    int64_t units;
    GroupQuantization quantization;
  };
  const FfnForm clamped{.activation = Activation::kSilu,
                        .glu = GluLayout::kInterleaved,
                        .limit = 0.4f,
                        .gate_scale = 1.702f,
                        .up_offset = 1.0f};
  const std::vector<Case> cases = {
      {{Activation::kGelu, GluLayout::kNone}, 192, {}},
      {{Activation::kSilu, GluLayout::kHalves}, 192, {}},
      {clamped, 128, {}},
      {{Activation::kSilu, GluLayout::kHalves}, 64, {4, 32}},
      {{Activation::kSilu, GluLayout::kHalves}, 100, {}},  // no whole tiles
  };
  for (const auto& [form, units, quantization] : cases) {
    const int64_t up_rows = units * form.rows_per_unit();
    DeviceBuffer owners[2];
    const WeightSpec up_spec{same, up_rows, kWidth, quantization};
    const WeightSpec down_spec{same, kWidth, units, quantization};
    Tensor up_bias = device().put(random_floats(up_rows, 20), {up_rows});
    Tensor down_bias = device().put(random_floats(kWidth, 21), {kWidth});
    const ExpertWeights expert = {
        device().put_weight(random_floats(up_rows * kWidth, 18), up_spec, owners[0]),
        up_bias.view(),
        device().put_weight(random_floats(kWidth * units, 19), down_spec, owners[1]),
        down_bias.view()};
    const std::vector<float> rows = random_floats(kRows * kWidth, 22);
    const auto run = [&](int64_t first, std::vector<int64_t> offsets) {
      const auto begin = rows.begin() + first * kWidth;
      const int64_t count = offsets.back();
      Tensor in = device().put(std::vector<float>(begin, begin + count * kWidth), {count, kWidth});
      Tensor hidden = device().make({count, up_rows});
      Tensor out = device().make({count, kWidth});
      GroupedFfnArgs args;
      args.rows = in.view();
      args.experts.assign(offsets.size() - 1, expert);
      args.row_offsets = std::move(offsets);
      args.form = form;
      args.hidden = hidden.view();
      args.out = out.view();
      device().backend().grouped_ffn(device().stream(), args);
      return device().get(out);
    };
    std::vector<float> few;
    for (int64_t row = 0; row < kRows; row += 14) append(few, run(row, {0, 14}));
    const std::string what =
        concat(units, " units, layout ", static_cast<int>(form.glu), ", bits ", quantization.bits);
    expect_same_bits(few, run(0, {0, kRows}), what);
    expect_same_bits(few, run(0, {0, 3, 60, 60, 76, kRows}), what + ", groups");
  }
}

TEST_P(TensorCoreTest, NanReachesItsRowOnly) {
  const WeightSpec spec{DType::kBF16, 64, 64};
  const std::vector<float> w = random_floats(spec.rows * spec.cols, 16);
  std::vector<float> x = random_floats(3 * spec.cols, 17);
  const std::vector<float> clean = multiply(device(), x, w, spec);
  x[static_cast<size_t>(spec.cols + 5)] = std::nanf("");
  const std::vector<float> out = multiply(device(), x, w, spec);
  for (size_t i = 0; i < out.size(); ++i) {
    if (i / 64 == 1) {
      EXPECT_TRUE(std::isnan(out[i])) << i;
    } else {
      EXPECT_EQ(out[i], clean[i]) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Arithmetics, TensorCoreTest,
                         ::testing::Values(Arithmetic::kBf16, Arithmetic::kFp16),
                         [](const auto& parameter) {
                           return parameter.param == Arithmetic::kBf16 ? "bf16" : "fp16";
                         });

}  // namespace
}  // namespace switchyard
