// grouped_ffn with offsets that only the device knows.
#include <string>

#include "tests/kernels/tensor_core_device.h"

namespace switchyard::testing {
namespace {

constexpr int64_t kWidth = 72;

struct Case {
  WeightSpec up;  // of gated forms: 2 units a row
  FfnForm form;
  std::vector<int64_t> offsets;
  int64_t most_rows;

  int64_t units() const { return up.rows / form.rows_per_unit(); }
};

std::vector<Case> make_cases(DType dtype) {
  const FfnForm gated{.activation = Activation::kSilu, .glu = GluLayout::kHalves};
  const FfnForm clamped{.activation = Activation::kSilu,
                        .glu = GluLayout::kInterleaved,
                        .limit = 0.4f,
                        .gate_scale = 1.702f,
                        .up_offset = 1.0f};
  const FfnForm plain{.activation = Activation::kRelu};
  return {{{dtype, 48, kWidth}, gated, {0, 3, 3, 20, 21}, 21},
          {{dtype, 50, kWidth}, clamped, {0, 0, 1, 40}, 64},
          {{dtype, 96, kWidth}, plain, {0, 17}, 19},
          {{dtype, 48, kWidth}, gated, {0, 0, 0, 0}, 5},
          {{dtype, 96, kWidth, {4, 32}}, gated, {0, 5, 5, 9}, 12},
          {{dtype, 96, kWidth, {8, 64}}, plain, {0, 0, 33}, 40},

          {{dtype, 64, kWidth}, plain, {0, 30, 31, 90}, 256},
          {{dtype, 64, kWidth}, gated, {0, 100, 101, 280}, 300}};
}

/// The experts of a case; every second one has biases.
struct Experts {
  Experts(TestDevice& device, const Case& c) {
    const auto count = static_cast<int64_t>(c.offsets.size()) - 1;
    memory.resize(static_cast<size_t>(2 * count));
    for (int64_t e = 0; e < count; ++e) {
      const auto seed = static_cast<uint32_t>(10 * e);
      const WeightSpec down{c.up.dtype, kWidth, c.units(), c.up.quantization};
      biases.push_back(device.put(random_floats(c.up.rows, seed + 1), {c.up.rows}));
      biases.push_back(device.put(random_floats(kWidth, seed + 2), {kWidth}));
      weights.push_back({device.put_weight(random_floats(c.up.rows * kWidth, seed + 3), c.up,
                                           memory[static_cast<size_t>(2 * e)]),
                         e % 2 == 0 ? biases[biases.size() - 2].view() : TensorView{},
                         device.put_weight(random_floats(down.rows * down.cols, seed + 4), down,
                                           memory[static_cast<size_t>(2 * e + 1)]),
                         e % 2 == 0 ? biases.back().view() : TensorView{}});
    }
  }

  std::vector<DeviceBuffer> memory;
  std::vector<Tensor> biases;
  std::vector<ExpertWeights> weights;
};

enum class Counted { kOnHost, kOnDevice };

/// Outputs [most_rows, width]; rows of no group stay -3.
std::vector<float> run(TestDevice& device, const Case& c, Counted counted) {
  const Experts experts(device, c);
  const int64_t live = c.offsets.back();
  const int64_t rows = counted == Counted::kOnDevice ? c.most_rows : live;
  const Tensor x = device.put(random_floats(c.most_rows * kWidth, 7), {c.most_rows, kWidth});
  const Tensor hidden = device.make({c.most_rows, c.up.rows + 8});
  const Tensor out = device.put(
      std::vector<float>(static_cast<size_t>(c.most_rows * kWidth), -3.0f), {c.most_rows, kWidth});
  GroupedFfnArgs args;
  args.rows = x.view().rows(0, rows);
  args.experts = experts.weights;
  args.form = c.form;
  args.hidden = hidden.view().rows(0, rows);
  args.out = out.view().rows(0, rows);
  const Tensor offsets = device.put(std::vector<int32_t>(c.offsets.begin(), c.offsets.end()),
                                    {static_cast<int64_t>(c.offsets.size())});
  if (counted == Counted::kOnDevice) {
    args.device_offsets = offsets.view();
  } else {
    args.row_offsets = c.offsets;
  }
  device.backend().grouped_ffn(device.stream(), args);
  return device.get(out);
}

void expect_counts_do_not_matter(TestDevice& device, DType dtype) {
  int number = 0;
  for (const Case& c : make_cases(dtype)) {
    expect_same_bits(run(device, c, Counted::kOnHost), run(device, c, Counted::kOnDevice),
                     device.backend().description() + ", case " + std::to_string(number++));
  }
}

TEST(CountedFfn, NumbersAreThoseOfOffsetsOnTheHost) {
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
      expect_counts_do_not_matter(device, dtype);
    }
  }
}

class CountedFfnOnTensorCores : public TensorCoreDeviceTest {};

TEST_P(CountedFfnOnTensorCores, NumbersAreThoseOfOffsetsOnTheHost) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    expect_counts_do_not_matter(device(), dtype);
  }
}

/// A hidden layer of so many units has sums in several segments.
TEST_P(CountedFfnOnTensorCores, SegmentsOfSumsJoinAlike) {
  for (const int64_t most_rows : {40, 300}) {
    const Case c{{DType::kBF16, 2048, kWidth},
                 {.activation = Activation::kSilu, .glu = GluLayout::kHalves},
                 {0, 17, 18, 18, 31},
                 most_rows};
    expect_same_bits(run(device(), c, Counted::kOnHost), run(device(), c, Counted::kOnDevice),
                     std::to_string(most_rows));
  }
}

INSTANTIATE_TEST_SUITE_P(Arithmetics, CountedFfnOnTensorCores,
                         ::testing::Values(Arithmetic::kBf16, Arithmetic::kFp16),
                         [](const auto& parameter) {
                           return parameter.param == Arithmetic::kBf16 ? "bf16" : "fp16";
                         });

TEST(CountedFfn, WrongArgumentsAreErrors) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  Case c = make_cases(DType::kF32).front();
  c.most_rows = 20;  // the offsets end at 21
  c.offsets.back() = 21;
  const Experts experts(device, c);
  const Tensor x = device.put(random_floats(c.most_rows * kWidth, 7), {c.most_rows, kWidth});
  const Tensor hidden = device.make({c.most_rows, c.up.rows});
  const Tensor out = device.make({c.most_rows, kWidth});
  const Tensor offsets = device.put(std::vector<int32_t>(c.offsets.begin(), c.offsets.end()),
                                    {static_cast<int64_t>(c.offsets.size())});
  GroupedFfnArgs args;
  args.rows = x.view();
  args.experts = experts.weights;
  args.form = c.form;
  args.hidden = hidden.view();
  args.out = out.view();
  args.device_offsets = offsets.view();
  const auto call = [&] {
    device.backend().grouped_ffn(device.stream(), args);
    device.finish();
  };
  expect_error(call, ErrorKind::kInternal, "grouped_ffn: device_offsets end at 21");
  args.row_offsets = {0, 1, 2, 3, 20};
  expect_error(call, ErrorKind::kInternal, "row_offsets stand beside device_offsets");
  args.row_offsets.clear();
  args.experts[1].up.spec.dtype = DType::kF16;
  expect_error(call, ErrorKind::kInternal, "experts are not of one shape");
}

}  // namespace
}  // namespace switchyard::testing
