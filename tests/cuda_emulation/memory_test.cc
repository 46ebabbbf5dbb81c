// Memory, streams and events of the GPU's backend, over the emulated runtime.
#include <gtest/gtest.h>

#include <cstring>
#include <future>
#include <numeric>
#include <vector>

#include "kernels/base/steady_seconds.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/pinned_memory.h"
#include "kernels/cuda/staged_copy.h"
#include "kernels/cuda/upload_ring.h"
#include "tests/cuda_emulation/runtime.h"
#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

TEST(PinnedMemory, IsPinnedAsFarAsTheSystemLets) {
  constexpr int64_t kBytes = 3 * cuda::kPinStep / 2;
  {
    const cuda::PinnedMemory all(kBytes, 0);
    EXPECT_EQ(all.pinned_bytes(), kBytes);
    EXPECT_TRUE(cuda::is_pinned(static_cast<char*>(all.data()) + kBytes - 1));
  }
  cuda_emulation::set_pinned_limit(cuda::kPinStep);
  ::testing::internal::CaptureStderr();
  {
    const cuda::PinnedMemory part(kBytes, -1);
    EXPECT_EQ(part.pinned_bytes(), cuda::kPinStep);
    EXPECT_TRUE(cuda::is_pinned(part.data()));
    EXPECT_FALSE(cuda::is_pinned(static_cast<char*>(part.data()) + cuda::kPinStep));
  }
  cuda_emulation::set_pinned_limit(std::numeric_limits<int64_t>::max());
  const std::string told = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(told.find("pinned 1.0 GiB of 1.5 GiB"), std::string::npos) << told;
  EXPECT_NE(told.find("not pinned"), std::string::npos) << told;
  EXPECT_NE(told.find("ulimit -l"), std::string::npos) << told;
}

TEST(PinnedMemory, IsCopiedAcrossStepsOfPinning) {
  constexpr int64_t kCopied = int64_t{3} << 20;
  TestDevice device({.kind = BackendKind::kCuda});
  const std::vector<int32_t> wanted(kCopied / 4, 7);
  const Tensor tensor = device.put(wanted, {kCopied / 4});
  for (const int64_t limit : {3 * cuda::kPinStep, cuda::kPinStep}) {
    cuda_emulation::set_pinned_limit(limit);
    ::testing::internal::CaptureStderr();
    const HostBuffer host = device.backend().allocate_host(cuda::kPinStep + kCopied);
    ::testing::internal::GetCapturedStderr();
    char* const place = static_cast<char*>(host.data()) + cuda::kPinStep - kCopied / 2 + 4;
    device.backend().copy_to_host(device.stream(), tensor.view(), place);
    device.backend().record(device.stream()).synchronize();
    EXPECT_EQ(std::memcmp(place, wanted.data(), kCopied), 0);
    const Tensor back = device.backend().allocate_tensor(DType::kI32, {kCopied / 4});
    device.backend().copy_to_device(device.stream(), place, back.view());
    EXPECT_EQ(device.get<int32_t>(back.view()), wanted);
  }
  cuda_emulation::set_pinned_limit(std::numeric_limits<int64_t>::max());
}

TEST(StagedCopy, BringsEveryByteOver) {
  TestDevice device({.kind = BackendKind::kCuda});
  // Two pieces and a rest, from ordinary memory.
  std::vector<int32_t> values((size_t{20} << 20) / 4 + 3);
  std::iota(values.begin(), values.end(), 5);
  const Tensor tensor = device.put(values, {static_cast<int64_t>(values.size())});
  EXPECT_EQ(device.get<int32_t>(tensor.view()), values);
}

TEST(UploadRing, KeepsWhatWorkStillUses) {
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithPriority(&stream, 0, 0);
  {
    cuda::UploadRing ring;
    std::vector<void*> places;
    std::vector<std::vector<char>> contents;
    // The last ones outgrow the ring while the first may still be read.
    for (const size_t bytes : {size_t{1000}, size_t{100'000}, size_t{400'000}, size_t{1'000'000}}) {
      contents.emplace_back(bytes, static_cast<char>(bytes % 251));
      places.push_back(ring.upload(stream, contents.back().data(), static_cast<int64_t>(bytes)));
    }
    cudaStreamSynchronize(stream);
    for (size_t i = 0; i < places.size(); ++i) {
      EXPECT_EQ(std::memcmp(places[i], contents[i].data(), contents[i].size()), 0) << i;
    }
    EXPECT_EQ(ring.upload(stream, nullptr, 0), nullptr);
  }
  cudaStreamDestroy(stream);
}

TEST(CudaBackend, TellsWhatItLacks) {
  expect_error([] { make_backend({.kind = BackendKind::kCuda, .device = 99}); }, ErrorKind::kUsage,
               "--device 99");
  const auto backend = make_backend({.kind = BackendKind::kCuda});
  const int64_t used = cuda_emulation::allocated_bytes();
  cuda_emulation::set_device_memory(used + 1000);
  expect_error([&] { backend->allocate(2000); }, ErrorKind::kResource, "no 2000 bytes");
  const DeviceBuffer fits = backend->allocate(500);
  cuda_emulation::set_device_memory(0);
  EXPECT_EQ(backend->host_address(fits.data()), nullptr);
  int host = 0;
  EXPECT_EQ(backend->host_address(&host), &host);
}

TEST(CudaBackend, HostTasksHoldUpOnlyTheirOwnStream) {
  const auto backend = make_backend({.kind = BackendKind::kCuda});
  const Tensor tensor = backend->allocate_tensor(DType::kI32, {2});
  Stream exchange = backend->make_stream(StreamKind::kExchange);
  Stream compute = backend->make_stream(StreamKind::kCompute);
  std::promise<void> open;
  const std::vector<int32_t> first = {1, 2};
  const std::vector<int32_t> second = {3, 4};
  std::vector<int32_t> seen(2);
  backend->copy_to_device(exchange, first.data(), tensor.view());
  backend->run_on_host(exchange, [gate = open.get_future().share(), &backend, &tensor, &seen] {
    gate.wait();
    // The work before the task is done, that behind it has not begun.
    backend->copy_in_task(seen.data(), tensor.view().data, 8);
  });
  backend->copy_to_device(exchange, second.data(), tensor.view());
  const Event copied = backend->record(exchange);
  backend->record(compute).synchronize();
  EXPECT_FALSE(copied.is_complete());
  backend->wait(compute, copied);
  const Event behind = backend->record(compute);
  EXPECT_FALSE(behind.is_complete());
  open.set_value();
  behind.synchronize();
  EXPECT_EQ(seen, first);
  EXPECT_LE(copied.completion_time(), behind.completion_time());
  backend->copy_to_host(compute, tensor.view(), seen.data());
  backend->record(compute).synchronize();
  EXPECT_EQ(seen, second);
}

TEST(CudaQueue, GrowsItsScratchInPlaceOfWhatIsStillInUse) {
  cuda::ClockOrigin origin;
  const cuda::DeviceFailure failure;
  cuda::CudaQueue queue(0, StreamKind::kCompute, origin, failure);
  constexpr int64_t kMiB = int64_t{1} << 20;
  cuda_emulation::set_device_memory(cuda_emulation::allocated_bytes() + 5 * kMiB / 2);
  queue.submit([](cuda::CudaQueue& own, cudaStream_t stream) {
    void* const small = own.scratch(kMiB);
    // Long enough that the block is not free when the next is asked for.
    for (int i = 0; i < 200; ++i) cudaMemsetAsync(small, i, kMiB, stream);
  });
  queue.submit([](cuda::CudaQueue& own, cudaStream_t) { own.scratch(2 * kMiB); });
  EXPECT_NO_THROW(queue.record().synchronize());
  queue.submit([](cuda::CudaQueue& own, cudaStream_t) { own.scratch(4 * kMiB); });
  expect_error([&] { queue.record().synchronize(); }, ErrorKind::kResource, "working memory");
  cuda_emulation::set_device_memory(0);
}

TEST(ClockOrigin, ComparesEventsWithRecentPoints) {
  cuda::ClockOrigin whole;
  EXPECT_EQ(whole.recent(), whole.recent());
  cuda::ClockOrigin origin(0.0);
  EXPECT_NE(origin.recent(), origin.recent());
  const cuda::DeviceFailure failure;
  cuda::CudaQueue queue(0, StreamKind::kCompute, origin, failure);
  // A point's time is read a little after its event, so that events compared with it seem as much
  // later: microseconds, where the thread is not held up in between, which is not every time.
  constexpr double kLate = 1e-3;
  bool is_ordered = false;
  for (int attempt = 0; attempt < 100 && !is_ordered; ++attempt) {
    const double begin = steady_seconds();
    const Event first = queue.record();
    const Event second = queue.record();
    second.synchronize();
    // A float of milliseconds has rounded them.
    constexpr double kRounding = 1e-6;
    EXPECT_GE(first.completion_time(), begin - kRounding);
    is_ordered = second.completion_time() >= first.completion_time() - kLate &&
                 second.completion_time() <= steady_seconds() + kLate;
  }
  EXPECT_TRUE(is_ordered);
}

}  // namespace
}  // namespace switchyard::testing
