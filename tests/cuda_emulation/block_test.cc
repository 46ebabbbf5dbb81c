// The emulation of blocks itself, so that what it says of kernels can be believed.
#include "tests/cuda_emulation/block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/cuda/instructions/bulk_copy.cuh"
#include "kernels/cuda/launch.cuh"
#include "tests/cuda_emulation/cuda_runtime.h"

namespace switchyard {
namespace {

class EmulatedBlocks : public ::testing::Test {
 protected:
  EmulatedBlocks() { cudaStreamCreateWithPriority(&stream_, 0, 0); }
  ~EmulatedBlocks() override { cudaStreamDestroy(stream_); }
  void finish() { cudaStreamSynchronize(stream_); }
  cudaStream_t stream_ = nullptr;
};

void number_threads(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = static_cast<int>(thread);
}

TEST_F(EmulatedBlocks, EveryThreadOfEveryBlockRunsOnce) {
  std::vector<int> out(2 * 3 * 2 * 60, -1);
  cuda::launch(number_threads, {dim3(2, 3, 2), dim3(5, 4, 3)}, stream_, out.data());
  finish();
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], static_cast<int>(i % 60));
}

void record_order(std::vector<unsigned>* order) {
  if (threadIdx.x == 0) order->push_back(blockIdx.x);
}

TEST_F(EmulatedBlocks, TheSeedShufflesBlocks) {
  std::vector<unsigned> ascending;
  std::vector<unsigned> shuffled;
  cuda::launch(record_order, {40, 2}, stream_, &ascending);
  finish();
  cuda_emulation::set_block_order_seed(3);
  cuda::launch(record_order, {40, 2}, stream_, &shuffled);
  finish();
  cuda_emulation::set_block_order_seed(0);
  EXPECT_TRUE(std::is_sorted(ascending.begin(), ascending.end()));
  EXPECT_NE(shuffled, ascending);
  EXPECT_EQ(std::set<unsigned>(shuffled.begin(), shuffled.end()).size(), 40u);
}

// Each thread reads what its neighbour wrote before the barrier, many times over.
void rotate(int* out, int rounds) {
  __shared__ int values[96];
  const unsigned self = threadIdx.x;
  values[self] = static_cast<int>(self);
  for (int i = 0; i < rounds; ++i) {
    __syncthreads();
    const int next = values[(self + 1) % blockDim.x];
    __syncthreads();
    values[self] = next;
  }
  out[blockIdx.x * blockDim.x + self] = values[self];
}

TEST_F(EmulatedBlocks, BarriersSeparateWritesFromReads) {
  std::vector<int> out(3 * 96);
  cuda::launch(rotate, {3, 96}, stream_, out.data(), 100);
  finish();
  for (int i = 0; i < 3 * 96; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], (i + 100) % 96);
}

void shuffle_all(int* out) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int* const mine = out + threadIdx.x * 6;
  mine[0] = __shfl_sync(0xFFFFFFFFu, lane * 10, 5);
  mine[1] = __shfl_xor_sync(0xFFFFFFFFu, lane, 16);
  mine[2] = __shfl_down_sync(0xFFFFFFFFu, lane, 3u, 8);
  mine[3] = __shfl_up_sync(0xFFFFFFFFu, lane, 3u, 8);
  mine[4] = static_cast<int>(__ballot_sync(0xFFFFFFFFu, lane % 2 == 1));
  // Halves of a warp on their own, as often as their lanes say.
  const unsigned half = lane < 16 ? 0xFFFFu : 0xFFFF0000u;
  int sum = 0;
  for (int i = 0; i < (lane < 16 ? 3 : 5); ++i) sum += __shfl_sync(half, lane, 2, 16);
  mine[5] = sum;
}

TEST_F(EmulatedBlocks, WarpFunctionsFollowTheirDefinitions) {
  std::vector<int> out(64 * 6);
  cuda::launch(shuffle_all, {1, 64}, stream_, out.data());
  finish();
  for (int thread = 0; thread < 64; ++thread) {
    const int lane = thread % 32;
    const int* const mine = out.data() + thread * 6;
    EXPECT_EQ(mine[0], 50);
    EXPECT_EQ(mine[1], lane ^ 16);
    EXPECT_EQ(mine[2], lane % 8 < 5 ? lane + 3 : lane);
    EXPECT_EQ(mine[3], lane % 8 >= 3 ? lane - 3 : lane);
    EXPECT_EQ(static_cast<unsigned>(mine[4]), 0xAAAAAAAAu);
    EXPECT_EQ(mine[5], lane < 16 ? 3 * 2 : 5 * 18);
  }
}

void leave_early(int* out) {
  if (threadIdx.x >= 10) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}

TEST_F(EmulatedBlocks, ThreadsThatEndDoNotHoldABarrier) {
  std::vector<int> out(10);
  cuda::launch(leave_early, {1, 64}, stream_, out.data());
  finish();
  EXPECT_EQ(out, std::vector<int>(10, 1));
}

void hand_over(int* out) {
  __shared__ int box;
  if (threadIdx.x < 32) {
    if (threadIdx.x == 0) box = 7;
    cuda_emulation::named_barrier_arrive(1, 64);
  } else {
    cuda_emulation::named_barrier_sync(1, 64);
    out[threadIdx.x - 32] = box;
  }
}

TEST_F(EmulatedBlocks, NamedBarriersHandOver) {
  std::vector<int> out(32);
  cuda::launch(hand_over, {1, 64}, stream_, out.data());
  finish();
  EXPECT_EQ(out, std::vector<int>(32, 7));
}

void miss_a_shuffle() {
  if (threadIdx.x != 3) __shfl_sync(0xFFFFFFFFu, 1, 0);
}
void shuffle_outside() { __shfl_sync(0xFFu, 1, 0); }

TEST_F(EmulatedBlocks, MistakesEndTheProgramAndSayWhere) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const cuda_emulation::GridShape shape{1, 32, 0};
  EXPECT_DEATH(cuda_emulation::run_grid(shape, miss_a_shuffle), "wait for");
  EXPECT_DEATH(cuda_emulation::run_grid(shape, shuffle_outside), "leaves out.*thread 8");
}

TEST_F(EmulatedBlocks, ImpossibleGridsAreRefused) {
  std::vector<unsigned> order;
  EXPECT_THROW(cuda::launch(record_order, {1, 1025}, stream_, &order), Error);
  EXPECT_THROW(cuda::launch(record_order, {1, 1, size_t{300} << 10}, stream_, &order), Error);
  EXPECT_NO_THROW(cuda::launch(record_order, {0, 32}, stream_, &order));
}

// One thread copies two batches of four numbers by one barrier; out[0..3] are what was there before
// the first was waited for.
void copy_in_bulk(const int* from, int* out) {
  char* const shared = cuda::dynamic_shared<char>();
  auto* const numbers = reinterpret_cast<int*>(shared);
  auto* const barrier = reinterpret_cast<cuda::BulkBarrier*>(shared + 16);
  if (threadIdx.x == 0) {
    cuda::start_bulk_barrier(barrier);
    cuda::show_bulk_barriers();
  }
  __syncthreads();
  for (int batch = 0; batch < 2; ++batch) {
    if (threadIdx.x == 0) {
      cuda::expect_bulk(barrier, 16);
      cuda::copy_bulk(numbers, from + 4 * batch, 16, barrier);
    }
    __syncthreads();
    if (batch == 0 && threadIdx.x < 4) out[threadIdx.x] = numbers[threadIdx.x];
    __syncthreads();
    cuda::wait_for_bulk(barrier, batch);
    if (threadIdx.x < 4) out[4 + 4 * batch + threadIdx.x] = numbers[threadIdx.x];
    __syncthreads();
  }
}

TEST_F(EmulatedBlocks, BulkCopiesAreMadeWhenTheirBatchIsWaitedFor) {
  const std::vector<int> from = {1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<int> out(12, 0);
  cuda::launch(copy_in_bulk, {2, 64, 32}, stream_, from.data(), out.data());
  finish();
  EXPECT_EQ(out, (std::vector<int>{-1, -1, -1, -1, 1, 2, 3, 4, 5, 6, 7, 8}));
}

}  // namespace
}  // namespace switchyard
