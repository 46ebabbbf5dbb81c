#include <limits>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

// `heads` products of K columns of x, from x_first on, with weights [N, K].
struct Case {
  int64_t rows, heads, n, k;
  int64_t x_heads, x_width, x_first, out_width, out_first;
  DType dtype = DType::kF32;
};

std::vector<float> weight_of(const Case& c, int64_t head) {
  return random_floats(c.n * c.k, 10 + static_cast<uint32_t>(head));
}
std::vector<float> x_of(const Case& c) { return random_floats(c.rows * c.x_heads * c.x_width, 1); }

std::vector<float> run(TestDevice& device, const Case& c, const std::vector<float>& x) {
  const Tensor in = device.put(x, {c.rows, c.x_heads * c.x_width});
  const int64_t width = c.heads * c.out_width;
  const Tensor out = device.put(random_floats(c.rows * width, 3), {c.rows, width});
  std::vector<DeviceBuffer> owners(static_cast<size_t>(c.heads));
  std::vector<Weight> weights;
  for (int64_t head = 0; head < c.heads; ++head) {
    weights.push_back(device.put_weight(weight_of(c, head), {c.dtype, c.n, c.k},
                                        owners[static_cast<size_t>(head)]));
  }
  device.backend().heads_matmul(
      device.stream(),
      {{in.view(), c.x_heads, c.x_first}, weights, {out.view(), c.heads, c.out_first}});
  return device.get(out);
}

// The same by one matmul a head over copies of the columns.
std::vector<float> by_matmul(TestDevice& device, const Case& c, const std::vector<float>& x) {
  std::vector<float> out = random_floats(c.rows * c.heads * c.out_width, 3);
  for (int64_t head = 0; head < c.heads; ++head) {
    std::vector<float> columns;
    for (int64_t row = 0; row < c.rows; ++row) {
      const int64_t at = (row * c.x_heads + (c.x_heads == 1 ? 0 : head)) * c.x_width + c.x_first;
      columns.insert(columns.end(), x.begin() + at, x.begin() + at + c.k);
    }
    DeviceBuffer owner;
    const Weight weight = device.put_weight(weight_of(c, head), {c.dtype, c.n, c.k}, owner);
    const Tensor in = device.put(columns, {c.rows, c.k});
    const Tensor product = device.make({c.rows, c.n});
    device.backend().matmul(device.stream(),
                            {in.view(), weight, {}, Activation::kNone, {}, product.view()});
    const std::vector<float> y = device.get(product);
    for (int64_t row = 0; row < c.rows; ++row) {
      std::copy_n(y.begin() + row * c.n, c.n,
                  out.begin() + (row * c.heads + head) * c.out_width + c.out_first);
    }
  }
  return out;
}

TEST(HeadsMatmul, IsTheMatmulOfEachHeadOnAllVariants) {
  for (const Case& c : {Case{1, 1, 1, 1, 1, 1, 0, 1, 0},
                        {1, 3, 40, 24, 3, 36, 0, 50, 10},
                        {7, 3, 40, 24, 3, 36, 12, 40, 0, DType::kBF16},
                        {70, 4, 33, 17, 1, 20, 3, 35, 1},                  // one head of x for all
                        {400, 2, 64, 128, 2, 130, 1, 70, 5, DType::kF16},  // several blocks
                        {0, 2, 16, 8, 2, 8, 0, 16, 0}}) {
    const std::vector<float> x = x_of(c);
    const std::vector<float> out =
        same_on_all_variants([&](TestDevice& device) { return run(device, c, x); });
    TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
    expect_same_bits(by_matmul(device, c, x), out, std::to_string(c.rows));
  }
}

TEST(HeadsMatmul, RowsDoNotDependOnEachOther) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  const Case all{30, 2, 19, 35, 2, 40, 2, 24, 4};
  std::vector<float> x = x_of(all);
  x[5 * 80 + 10] = std::numeric_limits<float>::quiet_NaN();  // row 5, head 0
  const std::vector<float> together = run(device, all, x);
  Case one = all;
  one.rows = 1;
  for (int64_t row = 0; row < all.rows; ++row) {
    const std::vector<float> alone =
        run(device, one, {x.begin() + row * 80, x.begin() + (row + 1) * 80});
    for (int64_t i = 0; i < 48; ++i) {
      if (i % 24 < 4 || i % 24 >= 23) continue;  // columns that are not written
      const float value = together[static_cast<size_t>(row * 48 + i)];
      EXPECT_EQ(value != value, row == 5 && i < 24) << row << " " << i;
      expect_same_bits({value}, {alone[static_cast<size_t>(i)]}, std::to_string(row));
    }
  }
}

TEST(HeadsMatmul, RefusesWrongShapes) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 1, 1});
  DeviceBuffer owner, other_owner;
  const Weight weight = device.put_weight(random_floats(12, 1), {DType::kF32, 3, 4}, owner);
  const Weight other = device.put_weight(random_floats(15, 1), {DType::kF32, 3, 5}, other_owner);
  const Tensor x = device.make({2, 8});
  const Tensor y = device.make({2, 8});
  const auto call = [&](const HeadColumns& from, std::vector<Weight> weights,
                        const HeadColumns& to) {
    return [&device, from, weights, to] {
      device.backend().heads_matmul(device.stream(), {from, weights, to});
    };
  };
  expect_error(call({x.view(), 2, 0}, {weight}, {y.view(), 2, 0}), ErrorKind::kInternal,
               "heads_matmul: weights are not one for each head of out");
  expect_error(call({x.view(), 4, 0}, {weight, weight}, {y.view(), 2, 0}), ErrorKind::kInternal,
               "heads_matmul: x has neither one head nor one for each weight");
  expect_error(call({x.view(), 2, 1}, {weight, weight}, {y.view(), 2, 0}), ErrorKind::kInternal,
               "heads_matmul: x has 4 columns a head, expected 4 from 1 on");
  expect_error(call({x.view(), 2, 0}, {weight, weight}, {y.view(), 2, 2}), ErrorKind::kInternal,
               "heads_matmul: out has 4 columns a head, expected 3 from 2 on");
  expect_error(call({x.view(), 1, 0}, {weight, other}, {y.view(), 2, 0}), ErrorKind::kInternal,
               "heads_matmul: weights is fp32 [3, 5], expected fp32 [3, 4]");
  expect_error(call({x.view(), 2, 0}, {weight, weight}, {x.view(), 2, 0}), ErrorKind::kInternal,
               "heads_matmul: out overlaps x");
}

}  // namespace
}  // namespace switchyard::testing
