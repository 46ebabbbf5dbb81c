#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

TEST(Embed, RoundsProductThenSum) {
  const int64_t vocabulary = 70, width = 37, positions = 9;
  const std::vector<int32_t> ids = {0, 69, 5, 5, 33, 32, 1};
  const std::vector<int32_t> places = {8, 0, 1, 2, 3, 4, 5};
  const float scale = 27.712812f;  // sqrt(768)
  const std::vector<float> table = random_floats(vocabulary * width, 1);
  const std::vector<float> position_table = random_floats(positions * width, 2);
  const auto count = static_cast<int64_t>(ids.size());
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    const std::vector<float> out = same_on_all_variants([&](TestDevice& device) {
      DeviceBuffer memory;
      const Weight weight = device.put_weight(table, {dtype, vocabulary, width}, memory);
      const Tensor id_tensor = device.put(ids, {count});
      const Tensor place_tensor = device.put(places, {count});
      const Tensor position_tensor = device.put(position_table, {positions, width});
      const Tensor result = device.make({count, width});
      device.backend().embed(device.stream(), {id_tensor.view(), place_tensor.view(), weight,
                                               position_tensor.view(), scale, result.view()});
      return device.get(result);
    });
    std::vector<float> expected;
    for (size_t t = 0; t < ids.size(); ++t) {
      for (int64_t i = 0; i < width; ++i) {
        uint32_t bits = 0;
        float value = table[static_cast<size_t>(ids[t] * width + i)];
        convert_elements(DType::kF32, &value, dtype, &bits, 1);
        convert_elements(dtype, &bits, DType::kF32, &value, 1);
        const float product = value * scale;
        expected.push_back(product + position_table[static_cast<size_t>(places[t] * width + i)]);
      }
    }
    expect_same_bits(expected, out, std::string(name_of(dtype)));
  }
}

TEST(Embed, ScalesRowsWithoutPositions) {
  const std::vector<int32_t> ids = {2, 0, 1, 2};
  const std::vector<float> table = random_floats(3 * 19, 1);
  const std::vector<float> out = same_on_all_variants([&](TestDevice& device) {
    DeviceBuffer memory;
    const Weight weight = device.put_weight(table, {DType::kF32, 3, 19}, memory);
    const Tensor id_tensor = device.put(ids, {4});
    const Tensor result = device.make({4, 19});
    device.backend().embed(device.stream(), {.ids = id_tensor.view(),
                                             .positions = {},
                                             .table = weight,
                                             .position_table = {},
                                             .scale = 12.5f,
                                             .out = result.view()});
    return device.get(result);
  });
  std::vector<float> expected;
  for (const int32_t id : ids) {
    for (int i = 0; i < 19; ++i) {
      expected.push_back(table[static_cast<size_t>(id * 19 + i)] * 12.5f);
    }
  }
  expect_same_bits(expected, out, "rows");
}

// An embed of one token with this id and position, into a vocabulary of 3 and 2 positions.
void embed_one(BackendKind kind, int32_t id, int32_t position) {
  TestDevice device({kind, InstructionSet::kAuto, 1, 1});
  DeviceBuffer memory;
  const Weight weight = device.put_weight(random_floats(12, 1), {DType::kF32, 3, 4}, memory);
  const Tensor ids = device.put<int32_t>({id}, {1});
  const Tensor places = device.put<int32_t>({position}, {1});
  const Tensor positions = device.put(random_floats(8, 2), {2, 4});
  const Tensor out = device.make({1, 4});
  device.backend().embed(device.stream(),
                         {ids.view(), places.view(), weight, positions.view(), 1.0f, out.view()});
  device.finish();
}

TEST(Embed, NamesIdsAndPositionsOutOfRange) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kStrict}) {
    embed_one(kind, 2, 1);
    expect_error([&] { embed_one(kind, 3, 0); }, ErrorKind::kInternal, "ids[0] is 3 of 3");
    expect_error([&] { embed_one(kind, -1, 0); }, ErrorKind::kInternal, "ids[0] is -1 of 3");
    expect_error([&] { embed_one(kind, 0, 2); }, ErrorKind::kInternal, "positions[0] is 2 of 2");
  }
}

}  // namespace
}  // namespace switchyard::testing
