#include <future>
#include <thread>

#include "kernels/cpu/strict_memory.h"
#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

const BackendOptions kStrict{BackendKind::kStrict, InstructionSet::kAuto, 1, 5};

class StrictDeath : public ::testing::Test {
 protected:
  // The process has threads, so the child must start afresh.
  void SetUp() override { ::testing::GTEST_FLAG(death_test_style) = "threadsafe"; }
};

// Reads or writes that the compiler may not leave out.
void touch(void* address) { *static_cast<volatile float*>(address) = 1.0f; }
float look(const void* address) { return *static_cast<const volatile float*>(address); }

TEST_F(StrictDeath, HostCodeThatTouchesDeviceMemoryDies) {
  TestDevice device(kStrict);
  const Tensor tensor = device.put(random_floats(4, 1), {4});
  EXPECT_DEATH(touch(tensor.view().data), "");
  EXPECT_DEATH(std::exit(look(tensor.view().data) > 0 ? 0 : 0), "");
}

TEST_F(StrictDeath, AWriteBehindABlockIsFoundWhenItIsFreed) {
  TestDevice device(kStrict);
  const auto overrun = [&device] {
    const DeviceBuffer buffer = device.backend().allocate(10);
    static_cast<char*>(device.backend().host_address(buffer.data()))[10] = 1;
  };
  EXPECT_DEATH(overrun(), "wrote byte 10 of a block of 10 bytes");
}

TEST_F(StrictDeath, FreeingTwiceDies) {
  StrictMemory memory;
  void* block = memory.allocate(100);
  memory.free(block);
  EXPECT_DEATH(memory.free(block), "not allocated");
}

TEST(Strict, FreshAndFreedMemoryIsPoisoned) {
  TestDevice device(kStrict);
  const Tensor tensor = device.make({3});
  for (const float value : device.get(tensor)) EXPECT_NE(value, value);
  EXPECT_EQ(device.get<int32_t>({tensor.view().data, DType::kI32, {3}})[2], 0x7FBF7FBF);

  StrictMemory memory;
  void* block = memory.allocate(8);
  auto* words = static_cast<uint32_t*>(memory.storage(block));
  words[0] = 1;
  memory.free(block);
  EXPECT_EQ(words[0], kStrictPoison);
}

TEST(Strict, MemoryIsAlignedReusedAndBounded) {
  StrictMemory memory;
  std::vector<void*> blocks;
  for (const int64_t bytes : {0, 1, 63, 64, 65, 1000}) {
    blocks.push_back(memory.allocate(bytes));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(blocks.back()) % 64, 0u);
    EXPECT_TRUE(memory.is_allocated(blocks.back(), bytes));
    EXPECT_FALSE(memory.is_allocated(blocks.back(), bytes + 1));
  }
  // Freed memory is out of use while little was freed after it, and comes back afterwards.
  void* first = blocks[0];
  for (void* block : blocks) memory.free(block);
  EXPECT_FALSE(memory.is_allocated(first, 0));
  void* other = memory.allocate(1);
  EXPECT_NE(other, first);
  memory.free(memory.allocate(2 * StrictMemory::kQuarantine));
  EXPECT_EQ(memory.allocate(1), first);
  expect_error([&] { memory.allocate(int64_t{1} << 60); }, ErrorKind::kResource, "asked for");
}

TEST(Strict, GapsJoinAgain) {
  StrictMemory memory;
  const int64_t quarter = int64_t{1} << 20;
  std::vector<void*> blocks;
  for (int i = 0; i < 16; ++i) blocks.push_back(memory.allocate(quarter));
  void* const first = blocks[0];
  for (const size_t i : {1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 14}) {
    memory.free(blocks[i]);
  }
  memory.free(memory.allocate(2 * StrictMemory::kQuarantine));
  EXPECT_EQ(memory.allocate(16 * quarter), first);
}

TEST(Strict, HostMemoryIsRefusedWhereDeviceMemoryIsDue) {
  TestDevice device(kStrict);
  std::vector<float> host(16);
  const TensorView on_host{host.data(), DType::kF32, {1, 16}};
  const Tensor x = device.put(random_floats(16, 1), {1, 16});
  const Tensor flag = device.make(DType::kI32, {1});
  const auto find = [&](const TensorView& view) {
    device.backend().find_non_finite(device.stream(), {view, flag.view()});
  };
  find(x.view());
  expect_error([&] { find(on_host); }, ErrorKind::kInternal, "find_non_finite: x (64 bytes at");
  expect_error(
      [&] {
        find({nullptr, DType::kF32, {1, 16}});
      },
      ErrorKind::kInternal, "is not in one block of the device's memory");
  // One element more than the block has, and a block that is gone.
  expect_error(
      [&] {
        find({x.view().data, DType::kF32, {1, 17}});
      },
      ErrorKind::kInternal, "find_non_finite: x");
  void* gone = device.make({1, 16}).view().data;
  expect_error(
      [&] {
        find({gone, DType::kF32, {1, 16}});
      },
      ErrorKind::kInternal, "find_non_finite: x");
  const auto copy = [&] {
    device.backend().copy_to_device(device.stream(), x.view().data, x.view());
  };
  expect_error(copy, ErrorKind::kInternal, "copy_to_device: host is device memory");
  device.finish();
}

// Holds a stream until open() is called or the gate is destroyed.
class Gate {
 public:
  Gate(Backend& backend, Stream& stream) {
    backend.run_on_host(stream, [future = promise_.get_future().share()] { future.wait(); });
  }
  void open() { promise_.set_value(); }

 private:
  std::promise<void> promise_;
};

TEST(Strict, CopiesTouchHostMemoryLate) {
  TestDevice device(kStrict);
  std::vector<float> host = {1.0f, 2.0f};
  const Tensor tensor = device.make({2});
  Gate before(device.backend(), device.stream());
  device.backend().copy_to_device(device.stream(), host.data(), tensor.view());
  host = {3.0f, 4.0f};
  before.open();
  EXPECT_EQ(device.get(tensor), (std::vector<float>{3.0f, 4.0f}));

  std::vector<float> result = {0.0f, 0.0f};
  Gate again(device.backend(), device.stream());
  device.backend().copy_to_host(device.stream(), tensor.view(), result.data());
  EXPECT_EQ(result[0], 0.0f);
  again.open();
  device.finish();
  EXPECT_EQ(result[0], 3.0f);
}

TEST(Strict, VectorArgumentsAreCopiedWhenEnqueued) {
  TestDevice device(kStrict);
  Backend& backend = device.backend();
  const KeyValueSpec spec{1, 16, 16};
  const DeviceBuffer memory = backend.allocate(2 * backend.key_value_page_bytes(spec));
  const Tensor x = device.put(random_floats(16, 1), {1, 16});
  const Tensor out = device.make({1, 16});
  Gate gate(backend, device.stream());
  {
    StoreKeyValuesArgs store{x.view(), x.view(), {{0, 1, 0, 0}}, {1}, {spec, memory.data(), 2}};
    backend.store_key_values(device.stream(), store);
    AttentionArgs args{x.view(),         1,           1.0f,      store.sequences,
                       store.page_table, store.pages, out.view()};
    backend.attention(device.stream(), args);
    args.page_table[0] = 0;
    args.sequences[0].num_rows = 0;
    store.page_table[0] = 0;
  }
  gate.open();
  expect_same_bits(device.get(x), device.get(out), "attention to itself alone");
}

TEST(Strict, HostTasksReachDeviceMemory) {
  TestDevice device(kStrict);
  const Tensor tensor = device.make({4});
  Backend& backend = device.backend();
  void* const view = tensor.view().data;
  backend.run_on_host(device.stream(), [&backend, view] {
    static_cast<float*>(backend.host_address(view))[2] = 5.0f;
  });
  EXPECT_EQ(device.get(tensor)[2], 5.0f);
  float host = 0.0f;
  EXPECT_EQ(backend.host_address(&host), &host);
}

TEST(Strict, ErrorsInOperationsSurfaceAtTheEvent) {
  TestDevice device(kStrict);
  const Tensor x = device.put(random_floats(4, 1), {2, 2});
  const Tensor index = device.make(DType::kI32, {1});  // never written
  const Tensor out = device.make({1, 2});
  device.backend().gather_rows(device.stream(), {x.view(), index.view(), out.view()});
  expect_error([&] { device.finish(); }, ErrorKind::kInternal, "index[0] is 2143256511");
}

TEST(Strict, SixtyFourBackendsFitOneProcess) {
  std::vector<std::thread> ranks;
  std::vector<float> results(64);
  for (size_t rank = 0; rank < 64; ++rank) {
    ranks.emplace_back([&results, rank] {
      TestDevice device({BackendKind::kStrict, InstructionSet::kAuto, 1, rank});
      const auto value = static_cast<float>(rank);
      const Tensor x = device.put(std::vector<float>{value, -value}, {2, 1});
      const Tensor index = device.put(std::vector<int32_t>{1}, {1});
      const Tensor out = device.make({1, 1});
      device.backend().gather_rows(device.stream(), {x.view(), index.view(), out.view()});
      results[rank] = device.get(out)[0];
    });
  }
  for (std::thread& rank : ranks) rank.join();
  for (size_t rank = 0; rank < 64; ++rank) EXPECT_EQ(results[rank], -static_cast<float>(rank));
}

}  // namespace
}  // namespace switchyard::testing
