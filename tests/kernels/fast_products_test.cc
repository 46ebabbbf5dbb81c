// Products by a GPU's library: near those of our own kernels, whatever stands behind the sums.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/kernels/given_codes_case.h"
#include "tests/kernels/tensor_core_device.h"

namespace switchyard {
namespace {

using testing::expect_same_bits;
using testing::random_floats;
using testing::TestDevice;

class FastProductsTest : public testing::TensorCoreDeviceTest {
 protected:
  void SetUp() override {
    TensorCoreDeviceTest::SetUp();
    if (IsSkipped()) return;
    fast_ = std::make_unique<TestDevice>(
        BackendOptions{.kind = BackendKind::kCuda, .arithmetic = GetParam(), .is_fast = true});
  }

  DType type() const { return GetParam() == Arithmetic::kBf16 ? DType::kBF16 : DType::kF16; }

  /// What run(device) gives on both; the sums of operands below 1 are apart by their roundings.
  template <typename Run>
  void expect_near(const Run& run, int64_t terms) {
    const std::vector<float> exact = run(device());
    const std::vector<float> fast = run(*fast_);
    ASSERT_EQ(exact.size(), fast.size());
    const double tolerance = static_cast<double>(terms) * static_cast<double>(terms) * 0x1p-23;
    for (size_t i = 0; i < exact.size(); ++i) ASSERT_NEAR(exact[i], fast[i], tolerance) << i;
  }

  std::unique_ptr<TestDevice> fast_;
};

TEST_P(FastProductsTest, TheClassSaysSo) {
  EXPECT_TRUE(fast_->backend().arithmetic_class().ends_with("-fast"));
  EXPECT_NE(fast_->backend().description().find("cuBLAS"), std::string::npos);
  EXPECT_NE(fast_->backend().packing_name(), device().backend().packing_name());
  EXPECT_FALSE(device().backend().arithmetic_class().ends_with("-fast"));
}

TEST_P(FastProductsTest, MatmulsAreNear) {
  const WeightSpec spec{type(), 70, 88};
  const std::vector<float> w = random_floats(spec.rows * spec.cols, 1);
  for (const int64_t rows : {1, 5, 33}) {
    for (const bool has_more : {false, true}) {
      const auto run = [&](TestDevice& on) {
        DeviceBuffer owner;
        const Weight weight = on.put_weight(w, spec, owner);
        Tensor in = on.put(random_floats(rows * spec.cols, 2), {rows, spec.cols});
        Tensor bias = on.put(random_floats(spec.rows, 3), {spec.rows});
        Tensor out = on.put(random_floats(rows * spec.rows, 4), {rows, spec.rows});
        MatmulArgs args{.x = in.view(), .w = weight, .bias = {}, .residual = {}, .out = out.view()};
        if (has_more) {
          args.bias = bias.view();
          args.activation = Activation::kGelu;
          args.residual = out.view();
          args.scale = 0.3f;
        }
        on.backend().matmul(on.stream(), args);
        return on.get(out);
      };
      expect_near(run, spec.cols);
    }
  }
}

/// Weights of another type, quantised ones, given codes and odd inputs are not the library's.
TEST_P(FastProductsTest, OtherWeightsHaveTheBitsOfTheExactClass) {
  const std::vector<float> w = random_floats(70 * 96, 5);
  const std::vector<float> x = random_floats(20 * 96, 6);
  for (const WeightSpec& spec :
       {WeightSpec{DType::kF32, 70, 96}, {type(), 70, 91}, {type(), 70, 96, {4, 32}}}) {
    const auto run = [&](TestDevice& on) {
      DeviceBuffer owner;
      const Weight weight = on.put_weight(w, spec, owner);
      Tensor in =
          on.put(std::vector<float>(x.begin(), x.begin() + 20 * spec.cols), {20, spec.cols});
      Tensor out = on.make({20, spec.rows});
      on.backend().matmul(
          on.stream(),
          {.x = in.view(), .w = weight, .bias = {}, .residual = {}, .out = out.view()});
      return on.get(out);
    };
    expect_same_bits(run(device()), run(*fast_), concat(spec.cols, " inputs"));
  }
}

TEST_P(FastProductsTest, EmbeddingsAreTheSame) {
  const std::vector<float> table = random_floats(50 * 24, 7);
  const auto run = [&](TestDevice& on) {
    DeviceBuffer owner;
    EmbedArgs args;
    const Tensor ids = on.put(std::vector<int32_t>{3, 49, 0, 3}, {4});
    const Tensor out = on.make({4, 24});
    args.ids = ids.view();
    args.table = on.put_weight(table, {type(), 50, 24}, owner);
    args.out = out.view();
    on.backend().embed(on.stream(), args);
    return on.get(out);
  };
  expect_same_bits(run(device()), run(*fast_), "embedding");
}

TEST_P(FastProductsTest, ExpertsAreNear) {
  constexpr int64_t kWidth = 72;
  constexpr int64_t kUnits = 64;
  constexpr int64_t kRows = 60;
  const std::vector<float> rows = random_floats(kRows * kWidth, 8);
  for (const GluLayout glu : {GluLayout::kNone, GluLayout::kHalves, GluLayout::kInterleaved}) {
    const FfnForm form{Activation::kSilu, glu};
    const int64_t up_rows = kUnits * form.rows_per_unit();
    const auto run = [&](TestDevice& on) {
      std::vector<DeviceBuffer> owners(6);
      GroupedFfnArgs args;
      for (size_t e = 0; e < 3; ++e) {
        // One expert of codes among those of the library.
        const GroupQuantization codes = e == 1 ? e4m3_codes(8) : GroupQuantization();
        const auto put = [&](int64_t n, int64_t k, DeviceBuffer& owner) {
          const auto seed = static_cast<uint32_t>(10 + e + n);
          if (codes.is_on()) {
            const GivenCodes given(codes, n, k, seed);
            return on.put_rows(given.source, given.spec, owner);
          }
          return on.put_weight(random_floats(n * k, seed, 0.1f), {type(), n, k}, owner);
        };
        args.experts.push_back(
            {put(up_rows, kWidth, owners[2 * e]), {}, put(kWidth, kUnits, owners[2 * e + 1]), {}});
      }
      Tensor in = on.put(rows, {kRows, kWidth});
      Tensor hidden = on.make({kRows, up_rows});
      Tensor out = on.make({kRows, kWidth});
      args.rows = in.view();
      args.row_offsets = {0, 3, 40, kRows};
      args.form = form;
      args.hidden = hidden.view();
      args.out = out.view();
      on.backend().grouped_ffn(on.stream(), args);
      return on.get(out);
    };
    // Hidden units near a border of rounding may fall to either side.
    const std::vector<float> exact = run(device());
    const std::vector<float> fast = run(*fast_);
    for (size_t i = 0; i < exact.size(); ++i) {
      ASSERT_NEAR(exact[i], fast[i], 0.02 * (1.0 + std::fabs(exact[i]))) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Arithmetics, FastProductsTest,
                         ::testing::Values(Arithmetic::kBf16, Arithmetic::kFp16),
                         [](const auto& parameter) {
                           return parameter.param == Arithmetic::kBf16 ? "bf16" : "fp16";
                         });

}  // namespace
}  // namespace switchyard
