#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

TEST(Rows, GatherPicksRowsInAnyOrderAndOften) {
  const int64_t rows = 11, width = 13;
  const std::vector<float> x = random_floats(rows * width, 1);
  std::vector<int32_t> index;
  for (int32_t i = 0; i < 3000; ++i) index.push_back(i * 7 % 11);
  const auto count = static_cast<int64_t>(index.size());
  const std::vector<float> out = same_on_all_variants([&](TestDevice& device) {
    const Tensor from = device.put(x, {rows, width});
    const Tensor places = device.put(index, {count});
    const Tensor to = device.make({count, width});
    device.backend().gather_rows(device.stream(), {from.view(), places.view(), to.view()});
    return device.get(to);
  });
  std::vector<float> expected;
  for (const int32_t i : index) {
    append(expected, {x.begin() + i * width, x.begin() + (i + 1) * width});
  }
  expect_same_bits(expected, out, "gather");
}

TEST(Rows, ScatterPlacesRowsAndLeavesTheOthers) {
  const int64_t rows = 3, width = 5, places = 7;
  const std::vector<float> x = random_floats(rows * width, 1);
  const std::vector<float> old = random_floats(places * width, 2);
  const std::vector<int32_t> index = {6, 0, 3};
  const std::vector<float> out = same_on_all_variants([&](TestDevice& device) {
    const Tensor from = device.put(x, {rows, width});
    const Tensor target = device.put(index, {rows});
    const Tensor to = device.put(old, {places, width});
    device.backend().scatter_rows(device.stream(), {from.view(), target.view(), to.view()});
    return device.get(to);
  });
  std::vector<float> expected = old;
  for (int64_t i = 0; i < rows; ++i) {
    std::copy_n(x.begin() + i * width, width,
                expected.begin() + index[static_cast<size_t>(i)] * width);
  }
  expect_same_bits(expected, out, "scatter");
}

TEST(Rows, RowsWithoutAPlaceAreLeftOut) {
  const int64_t width = 5;
  const std::vector<float> x = random_floats(3 * width, 1);
  const std::vector<float> old = random_floats(6 * width, 2);
  const auto row_of = [&](const std::vector<float>& rows, int64_t row) {
    return std::vector<float>(rows.begin() + row * width, rows.begin() + (row + 1) * width);
  };
  const std::vector<float> out = same_on_all_variants([&](TestDevice& device) {
    const Tensor from = device.put(x, {3, width});
    const Tensor picks = device.put<int32_t>({2, kNoRow, 0}, {3});
    const Tensor gathered = device.put(old, {6, width});
    device.backend().gather_rows(device.stream(),
                                 {from.view(), picks.view(), gathered.view().rows(0, 3)});
    // Two copies of each row: of the first to 4 and nowhere, of the last to 1 and 5.
    const Tensor places = device.put<int32_t>({4, kNoRow, kNoRow, kNoRow, 1, 5}, {6});
    const Tensor scattered = device.put(old, {6, width});
    device.backend().scatter_rows(device.stream(),
                                  {from.view(), places.view(), scattered.view(), 2});
    std::vector<float> result = device.get(gathered);
    append(result, device.get(scattered));
    return result;
  });
  std::vector<float> expected;
  append(expected, row_of(x, 2));
  append(expected, row_of(old, 1));
  append(expected, row_of(x, 0));
  for (const int64_t row : {3, 4, 5}) append(expected, row_of(old, row));
  append(expected, row_of(old, 0));
  append(expected, row_of(x, 2));
  append(expected, row_of(old, 2));
  append(expected, row_of(old, 3));
  append(expected, row_of(x, 0));
  append(expected, row_of(x, 2));
  expect_same_bits(expected, out, "gathered and scattered");
}

TEST(Rows, NoRowsAreFine) {
  TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 2, 1});
  const Tensor x = device.make({4, 3});
  const TensorView none{nullptr, DType::kF32, {0, 3}};
  const TensorView no_index{nullptr, DType::kI32, {0}};
  device.backend().gather_rows(device.stream(), {x.view(), no_index, none});
  device.backend().scatter_rows(device.stream(), {none, no_index, x.view()});
  device.finish();
}

TEST(Rows, IndicesOutOfRangeAreErrors) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kStrict}) {
    for (const int32_t bad : {-2, 4}) {
      TestDevice device({kind, InstructionSet::kAuto, 1, 1});
      const Tensor x = device.put(random_floats(12, 1), {4, 3});
      const Tensor index = device.put<int32_t>({0, bad}, {2});
      const Tensor out = device.make({2, 3});
      const auto gather = [&] {
        device.backend().gather_rows(device.stream(), {x.view(), index.view(), out.view()});
        device.finish();
      };
      expect_error(gather, ErrorKind::kInternal,
                   "gather_rows: index[1] is " + std::to_string(bad) + " of 4 rows");
    }
  }
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Tensor x = device.put(random_floats(6, 1), {2, 3});
  const Tensor index = device.put<int32_t>({0, 9}, {2});
  const Tensor out = device.make({4, 3});
  const auto scatter = [&] {
    device.backend().scatter_rows(device.stream(), {x.view(), index.view(), out.view()});
  };
  expect_error(scatter, ErrorKind::kInternal, "scatter_rows: index[1] is 9 of 4 rows");
}

}  // namespace
}  // namespace switchyard::testing
