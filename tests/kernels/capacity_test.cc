#include <cmath>
#include <limits>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

struct Inputs {
  std::vector<int32_t> idx;   // [T, k]
  std::vector<float> p;       // [T, k]
  std::vector<int32_t> mask;  // [T]
  int64_t num_tokens() const { return static_cast<int64_t>(mask.size()); }
  int64_t top_k() const { return static_cast<int64_t>(idx.size() / mask.size()); }
};

struct Outputs {
  std::vector<int32_t> idx, slots;
  std::vector<float> weights;
};

Outputs run(TestDevice& device, const Inputs& in, ApplyCapacityArgs args) {
  const int64_t tokens = in.num_tokens();
  const int64_t k = in.top_k();
  const Tensor idx = device.put(in.idx, {tokens, k});
  const Tensor weights = device.put(in.p, {tokens, k});
  const Tensor mask = device.put(in.mask, {tokens});
  const Tensor slots = device.make(DType::kI32, {tokens, k});
  args.topk_idx = idx.view();
  args.topk_weights = weights.view();
  args.mask = mask.view();
  args.slots = slots.view();
  device.backend().apply_capacity(device.stream(), args);
  return {device.get<int32_t>(idx.view()), device.get<int32_t>(slots.view()), device.get(weights)};
}

// Six tokens and three experts: logits s0 [2,1,0], s1 [2,0,1], s2 [1.5,1,0], s3 [0,2,1],
// s4 [3,0,2.5], s5 [0,1,2].
Inputs worked_example() {
  const std::vector<std::vector<double>> logits = {{2, 1, 0}, {2, 0, 1},   {1.5, 1, 0},
                                                   {0, 2, 1}, {3, 0, 2.5}, {0, 1, 2}};
  Inputs in{{0, 1, 0, 2, 0, 1, 1, 2, 0, 2, 2, 1}, {}, std::vector<int32_t>(6, 0)};
  for (size_t t = 0; t < 6; ++t) {
    double sum = 0;
    for (const double z : logits[t]) sum += std::exp(z);
    for (size_t j = 0; j < 2; ++j) {
      in.p.push_back(
          static_cast<float>(std::exp(logits[t][static_cast<size_t>(in.idx[2 * t + j])]) / sum));
    }
  }
  return in;
}

ApplyCapacityArgs one_batch(int64_t rows, int64_t capacity, int64_t experts) {
  ApplyCapacityArgs args;
  args.batches = {{0, rows, capacity}};
  args.num_experts = experts;
  return args;
}

void expect_near(const std::vector<float>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-5) << i;
}

TEST(Capacity, WorkedExampleOfTheTop2Gate) {
  const double a = .731059, b = .268941, c = .622459, d = .377541;
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    const Outputs all = run(device, worked_example(), one_batch(6, 4, 3));
    EXPECT_EQ(all.slots, (std::vector<int32_t>{0, 1, 1, 1, 2, 2, 0, 2, 3, 3, 0, 3}));
    expect_near(all.weights, {a, b, a, b, c, d, a, b, c, d, a, b});
    EXPECT_EQ(all.idx, worked_example().idx);
    const Outputs two = run(device, worked_example(), one_batch(6, 2, 3));
    EXPECT_EQ(two.slots, all.slots);
    expect_near(two.weights, {a, b, a, b, 0, 0, 1, 0, 0, 0, 1, 0});
    EXPECT_EQ(two.idx, (std::vector<int32_t>{0, 1, 0, 2, -1, -1, 1, -1, -1, -1, 2, -1}));
    const Outputs three = run(device, worked_example(), one_batch(6, 3, 3));
    expect_near(three.weights, {a, b, a, b, c, d, a, b, 0, 0, 1, 0});
  }
}

TEST(Capacity, BatchesDoNotCompeteWithEachOther) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 2, 3});
  const Inputs in = worked_example();
  ApplyCapacityArgs args;
  args.num_experts = 3;
  args.batches = {{0, 2, 1}, {2, 0, 5}, {2, 4, 2}};
  const Outputs out = run(device, in, args);
  EXPECT_EQ(out.slots, (std::vector<int32_t>{0, 0, 1, 0, 0, 1, 0, 1, 1, 2, 0, 2}));
  EXPECT_EQ(out.idx, (std::vector<int32_t>{0, 1, -1, 2, 0, 1, 1, 2, 0, -1, 2, -1}));
}

TEST(Capacity, MaskedRowsTakeNoSlot) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  Inputs in = worked_example();
  in.mask = {1, 0, 0, 0, 0, 0};
  const Outputs out = run(device, in, one_batch(6, 2, 3));
  EXPECT_EQ(out.slots, (std::vector<int32_t>{-1, -1, 0, 1, 1, 1, 0, 2, 2, 3, 0, 2}));
  EXPECT_EQ(out.weights[0], 0.0f);
  EXPECT_EQ(out.idx[1], -1);
  EXPECT_GT(out.weights[4], 0.5f);  // row 2 has the slot that row 0 had
}

TEST(Capacity, NormalisedBeforeDroppingASurvivorKeepsItsShare) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  ApplyCapacityArgs args = one_batch(6, 2, 3);
  args.norm_order = NormOrder::kBeforeDropping;
  const double a = .731059, b = .268941;
  expect_near(run(device, worked_example(), args).weights, {a, b, a, b, 0, 0, a, 0, 0, 0, a, 0});
}

TEST(Capacity, WithoutNormalisationWeightsAreProbabilities) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  ApplyCapacityArgs args = one_batch(6, 4, 3);
  args.norm = GateNorm::kNone;
  EXPECT_EQ(run(device, worked_example(), args).weights, worked_example().p);
  args.batches[0].capacity = 0;
  EXPECT_EQ(run(device, worked_example(), args).weights, std::vector<float>(12, 0.0f));
}

TEST(Capacity, ByProbabilityTheSurestRowsComeFirst) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  ApplyCapacityArgs args = one_batch(4, 2, 2);
  args.slot_order = SlotOrder::kProbability;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // Rows 0 and 3 are equal: the earlier one first. A NaN harms nobody's slot but its own row's.
  const Inputs in{{0, 0, 0, 0}, {0.5f, 0.25f, 0.75f, 0.5f}, {0, 0, 0, 0}};
  EXPECT_EQ(run(device, in, args).slots, (std::vector<int32_t>{1, 3, 0, 2}));
  const Inputs with_nan{{0, 0, 1, 0}, {0.5f, 0.25f, nan, 0.5f}, {0, 0, 0, 0}};
  EXPECT_EQ(run(device, with_nan, args).slots, (std::vector<int32_t>{0, 2, 0, 1}));
}

TEST(Capacity, AWeightThatVanishesIsDropped) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Inputs in{{0, 1}, {1.0f, 0.0f}, {0}};
  const Outputs out = run(device, in, one_batch(1, 2, 2));
  EXPECT_EQ(out.idx, (std::vector<int32_t>{0, -1}));
  EXPECT_EQ(out.slots, (std::vector<int32_t>{0, 0}));
}

TEST(Capacity, BatchesMustCoverTheRows) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  expect_error([&] { run(device, worked_example(), one_batch(5, 2, 3)); }, ErrorKind::kInternal,
               "apply_capacity: batches do not cover");
  ApplyCapacityArgs args = one_batch(3, 2, 3);
  args.batches.push_back({4, 2, 2});
  expect_error([&] { run(device, worked_example(), args); }, ErrorKind::kInternal,
               "apply_capacity: batches do not follow");
}

}  // namespace
}  // namespace switchyard::testing
