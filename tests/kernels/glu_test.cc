#include <cmath>
#include <limits>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

constexpr FfnForm kSwiglu{.activation = Activation::kSilu, .glu = GluLayout::kHalves};
constexpr FfnForm kClamped{.activation = Activation::kSilu,
                           .glu = GluLayout::kInterleaved,
                           .limit = 7.0f,
                           .gate_scale = 1.702f,
                           .up_offset = 1.0f};

std::vector<float> run(TestDevice& device, const std::vector<float>& x, int64_t tokens,
                       const FfnForm& form) {
  const int64_t units = static_cast<int64_t>(x.size()) / tokens / 2;
  const Tensor in = device.put(x, {tokens, 2 * units});
  const Tensor out = device.make({tokens, units});
  device.backend().glu(device.stream(), {in.view(), form, out.view()});
  return device.get(out);
}

double activated(const FfnForm& form, double gate) {
  switch (form.activation) {
    case Activation::kSilu:
      return gate / (1.0 + std::exp(-form.gate_scale * gate));
    case Activation::kGelu:
      return 0.5 * gate * (1.0 + std::erf(gate / std::sqrt(2.0)));
    case Activation::kGeluTanh:
      return 0.5 * gate *
             (1.0 + std::tanh(std::sqrt(2.0 / M_PI) * (gate + 0.044715 * gate * gate * gate)));
    case Activation::kRelu:
      return std::max(gate, 0.0);
    case Activation::kTanh:
      return std::tanh(gate);
    case Activation::kNone:
      break;
  }
  return gate;
}

// One hidden unit in double precision.
double unit(const FfnForm& form, const float* row, int64_t units, int64_t i) {
  const bool is_interleaved = form.glu == GluLayout::kInterleaved;
  double gate = row[is_interleaved ? 2 * i : i];
  double linear = row[is_interleaved ? 2 * i + 1 : units + i];
  if (form.limit > 0.0f) {
    gate = std::min(gate, double{form.limit});
    linear = std::min(std::max(linear, -double{form.limit}), double{form.limit});
  }
  return (linear + form.up_offset) * activated(form, gate);
}

TEST(Glu, FollowsTheFormulaOnAllVariants) {
  std::vector<FfnForm> forms = {kSwiglu, kClamped};
  for (const auto activation : {Activation::kGelu, Activation::kGeluTanh, Activation::kRelu,
                                Activation::kTanh, Activation::kNone}) {
    forms.push_back({.activation = activation, .glu = GluLayout::kHalves, .limit = 3.0f});
    forms.push_back({.activation = activation, .glu = GluLayout::kInterleaved});
  }
  for (const FfnForm& form : forms) {
    for (const int64_t units : {1, 15, 16, 33, 1000}) {
      const int64_t tokens = 20;
      const std::vector<float> x = random_floats(tokens * 2 * units, 1, 9.0f);
      const std::vector<float> out =
          same_on_all_variants([&](TestDevice& device) { return run(device, x, tokens, form); });
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t i = 0; i < units; ++i) {
          const double exact = unit(form, x.data() + t * 2 * units, units, i);
          ASSERT_NEAR(out[static_cast<size_t>(t * units + i)], exact,
                      1e-6 * std::max(1.0, std::fabs(exact)))
              << static_cast<int>(form.activation) << " units " << units << " i " << i;
        }
      }
    }
  }
}

TEST(Glu, MatchesGptOss) {
  // Outputs of the formula of modeling_gpt_oss.py (GptOssExperts) in torch 2.5.1.
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const std::vector<float> out = run(
      device,
      {-2.92f, -3.62f, -3.35f, 4.01f, -1.18f, 11.66f, -8.41f, -4.58f, 3.79f, -5.39f, -3.35f, 4.14f},
      3, kClamped);
  const float expected[] = {0.0527599789f,   -0.0558750033f, -1.11701608f,
                            1.82921922e-05f, -16.6118584f,   -0.0573248491f};
  for (size_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(out[i], expected[i], 1e-6f * std::max(1.0f, std::fabs(expected[i])));
  }
}

TEST(Glu, LimitsHoldInfinityAndLetNanThrough) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    const std::vector<float> out =
        run(device, {nan, 1.0f, 1.0f, nan, infinity, -infinity, -infinity, infinity}, 1, kClamped);
    EXPECT_TRUE(std::isnan(out[0]) && std::isnan(out[1]));
    EXPECT_NEAR(out[2], 7.0f * -6.0f, 1e-3f);
    EXPECT_EQ(out[3], 0.0f);
  }
}

TEST(Glu, RefusesFormsThatMakeNoSense) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const auto refuses = [&](const FfnForm& form, const std::string& part) {
    expect_error([&] { run(device, {1.0f, 2.0f}, 1, form); }, ErrorKind::kInternal, part);
  };
  refuses({.activation = Activation::kSilu}, "glu: form has no gate");
  refuses({.activation = Activation::kSilu, .limit = 7.0f}, "has no gate to limit or scale");
  refuses({.activation = Activation::kRelu, .glu = GluLayout::kHalves, .gate_scale = 2.0f},
          "scales the gate of an activation that is not silu");
  const Tensor x = device.make({2, 8});
  expect_error(
      [&] {
        device.backend().glu(device.stream(), {x.view(), kSwiglu, x.view().rows(0, 1)});
      },
      ErrorKind::kInternal, "glu: out overlaps x");
  const Tensor out = device.make({2, 5});
  expect_error(
      [&] {
        device.backend().glu(device.stream(), {x.view(), kSwiglu, out.view()});
      },
      ErrorKind::kInternal, "glu: x is fp32 [2, 8], expected fp32 [2, 10]");
}

}  // namespace
}  // namespace switchyard::testing
