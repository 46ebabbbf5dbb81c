#include <cmath>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

TEST(BackendFactory, DescribesWhatItMade) {
  const auto cpu = make_backend({BackendKind::kCpu, InstructionSet::kPortable, 2, 1});
  EXPECT_EQ(cpu->description(), "cpu (portable, 2 threads)");
  EXPECT_EQ(cpu->arithmetic_class(), "cpu-fp32");
  const auto strict = make_backend({BackendKind::kStrict, InstructionSet::kPortable, 1, 1});
  EXPECT_EQ(strict->description(), "strict cpu (portable, 1 thread)");
  EXPECT_EQ(strict->arithmetic_class(), "cpu-fp32");
  const std::string best(name_of(best_instruction_set()));
  if (!has_backend(BackendKind::kCuda)) {
    EXPECT_EQ(make_backend({})->description(), "cpu (" + best + ", 1 thread)");
  }
}

TEST(BackendFactory, RefusesWhatTheMachineLacks) {
  expect_error(
      [] {
        make_backend({BackendKind::kCpu, InstructionSet::kAuto, 0, 1});
      },
      ErrorKind::kUsage, "--threads is 0");
  for (const auto set : {InstructionSet::kAvx2, InstructionSet::kAvx512}) {
    if (is_supported(set)) continue;
    expect_error(
        [set] {
          make_backend({BackendKind::kStrict, set, 1, 1});
        },
        ErrorKind::kUsage, std::string(name_of(set)));
  }
}

TEST(Backend, AllocationsAreAlignedAndMayBeEmpty) {
  for (const BackendOptions& options : all_variants()) {
    const auto backend = make_backend(options);
    for (const int64_t bytes : {0, 1, 100, 5 << 20}) {
      const DeviceBuffer buffer = backend->allocate(bytes);
      EXPECT_EQ(buffer.bytes(), bytes);
      EXPECT_NE(buffer.data(), nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    }
    EXPECT_THROW(backend->allocate(-1), Error);
  }
}

TEST(Backend, CopiesGoThereAndBack) {
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    const std::vector<float> values = random_floats(1000, 1);
    const Tensor tensor = device.put(values, {10, 100});
    EXPECT_EQ(device.get(tensor), values);
    EXPECT_EQ(device.get<float>(tensor.view().rows(3, 2)),
              std::vector<float>(values.begin() + 300, values.begin() + 500));
    device.backend().copy_to_host(device.stream(), {nullptr, DType::kF32, {0, 3}}, nullptr);
  }
}

TEST(Backend, PagesHoldKeysAndPaddedValues) {
  const auto backend = make_backend({});
  EXPECT_EQ(backend->key_value_page_bytes({1, 16, 16}), 2 * 64 * 16 * 4);
  EXPECT_EQ(backend->key_value_page_bytes({3, 15, 15}), 3 * (15 + 16) * 64 * 4);
  EXPECT_EQ(backend->key_value_page_bytes({2, 24, 17}), 2 * (24 + 32) * 64 * 4);
  EXPECT_EQ(backend->key_value_page_bytes({1, 576, 512, ValueSource::kKeyPrefix}),
            (576 + 512) * 64 * 4);
}

// relu(x w^T + bias) + residual, packed in two pieces.
std::vector<float> run_matmul(TestDevice& device, DType dtype) {
  const int64_t rows = 5, n = 35, k = 19;
  Backend& backend = device.backend();
  const WeightSpec spec{dtype, n, k};
  const std::vector<float> w = random_floats(n * k, 1);
  std::vector<char> stored(static_cast<size_t>(spec.source_bytes()));
  convert_elements(DType::kF32, w.data(), dtype, stored.data(), n * k);
  const DeviceBuffer memory = backend.allocate(backend.packed_bytes(spec));
  const Weight weight{spec, memory.data()};
  Stream loader = backend.make_stream(StreamKind::kCopy);
  backend.pack_weight(loader, stored.data() + 20 * k * size_of(dtype), 20, 15, weight);
  backend.pack_weight(loader, stored.data(), 0, 20, weight);
  backend.wait(device.stream(), backend.record(loader));
  const Tensor x = device.put(random_floats(rows * k, 2), {rows, k});
  const Tensor bias = device.put(random_floats(n, 3), {n});
  const Tensor out = device.put(random_floats(rows * n, 4), {rows, n});
  backend.matmul(device.stream(),
                 {x.view(), weight, bias.view(), Activation::kRelu, out.view(), out.view()});
  return device.get(out);
}

TEST(Backend, MatmulIsOneChainOnAllVariants) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::vector<float> out =
        same_on_all_variants([dtype](TestDevice& device) { return run_matmul(device, dtype); });
    std::vector<float> w = random_floats(35 * 19, 1);
    std::vector<uint32_t> stored(w.size());
    convert_elements(DType::kF32, w.data(), dtype, stored.data(), 35 * 19);
    convert_elements(dtype, stored.data(), DType::kF32, w.data(), 35 * 19);
    const std::vector<float> x = random_floats(5 * 19, 2);
    const std::vector<float> bias = random_floats(35, 3);
    std::vector<float> expected = random_floats(5 * 35, 4);
    for (size_t i = 0; i < expected.size(); ++i) {
      float sum = 0.0f;
      for (size_t k = 0; k < 19; ++k) {
        sum = std::fma(x[i / 35 * 19 + k], w[i % 35 * 19 + k], sum);
      }
      sum += bias[i % 35];
      expected[i] = (sum > 0.0f ? sum : 0.0f) + expected[i];
    }
    expect_same_bits(expected, out, std::string(name_of(dtype)));
  }
}

// Three groups, the second empty, the third without biases.
std::vector<float> run_grouped_ffn(TestDevice& device) {
  const int64_t d = 12, f = 40;
  std::vector<DeviceBuffer> memory(4);
  const Tensor up_bias = device.put(random_floats(f, 5), {f});
  const Tensor down_bias = device.put(random_floats(d, 6), {d});
  GroupedFfnArgs args;
  for (const size_t e : {size_t{0}, size_t{1}}) {
    const auto seed = static_cast<uint32_t>(10 + e);
    args.experts.push_back(
        {device.put_weight(random_floats(f * d, seed), {DType::kF16, f, d}, memory[2 * e]),
         e == 0 ? up_bias.view() : TensorView(),
         device.put_weight(random_floats(d * f, seed + 5), {DType::kF16, d, f}, memory[2 * e + 1]),
         e == 0 ? down_bias.view() : TensorView()});
  }
  args.experts.insert(args.experts.begin() + 1, args.experts[0]);
  const Tensor rows = device.put(random_floats(7 * d, 1), {7, d});
  const Tensor hidden = device.make({7, f});
  const Tensor out = device.make({7, d});
  args.rows = rows.view();
  args.row_offsets = {0, 4, 4, 7};
  args.hidden = hidden.view();
  args.out = out.view();
  device.backend().grouped_ffn(device.stream(), args);
  args = {};  // the call has copied its vectors
  return device.get(out);
}

TEST(Backend, GroupedFfnGivesTheSameBitsOnAllVariants) {
  const std::vector<float> out = same_on_all_variants(run_grouped_ffn);
  for (const float value : out) EXPECT_TRUE(std::isfinite(value));
}

TEST(Backend, NamesOperationAndArgumentOfAWrongCall) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  Backend& backend = device.backend();
  const Tensor x = device.make({4, 8});
  const Tensor ids = device.make(DType::kI32, {4});
  DeviceBuffer memory;
  const Weight weight = device.put_weight(random_floats(80, 1), {DType::kF32, 10, 8}, memory);
  const auto matmul = [&](const TensorView& in, const TensorView& out) {
    backend.matmul(device.stream(), {in, weight, {}, Activation::kNone, {}, out});
  };
  expect_error([&] { matmul(x.view(), x.view()); }, ErrorKind::kInternal, "matmul: out overlaps x");
  const Tensor out = device.make({4, 9});
  expect_error([&] { matmul(x.view(), out.view()); }, ErrorKind::kInternal,
               "matmul: out is fp32 [4, 9], expected fp32 [4, 10]");
  const auto gather = [&] {
    backend.gather_rows(device.stream(), {x.view(), x.view().rows(0, 1), out.view()});
  };
  expect_error(gather, ErrorKind::kInternal, "gather_rows: ");
  expect_error(
      [&] {
        backend.find_non_finite(device.stream(), {ids.view(), ids.view()});
      },
      ErrorKind::kInternal, "find_non_finite: x is int32 [4], expected 2 extents");
  expect_error([&] { backend.pack_weight(device.stream(), &memory, 9, 2, weight); },
               ErrorKind::kInternal, "pack_weight: first_row + num_rows is outside the matrix");
  GroupedFfnArgs ffn;
  ffn.rows = x.view();
  ffn.hidden = ffn.out = x.view();
  ffn.row_offsets = {0, 3};
  ffn.experts.resize(1);
  expect_error([&] { backend.grouped_ffn(device.stream(), ffn); }, ErrorKind::kInternal,
               "grouped_ffn: row_offsets do not cut the rows into the groups");
}

}  // namespace
}  // namespace switchyard::testing
