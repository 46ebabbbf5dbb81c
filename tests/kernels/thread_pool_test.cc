#include "kernels/base/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/error.h"

namespace switchyard {
namespace {

class ThreadPoolTest : public testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, RunsEveryTaskOnceAndSeesItsWrites) {
  ThreadPool pool(GetParam());
  EXPECT_EQ(pool.num_threads(), GetParam());
  for (const int64_t num_tasks : {0, 1, 2, 7, 1000}) {
    std::vector<int> runs(static_cast<size_t>(num_tasks));  // not atomic on purpose
    std::atomic<bool> thread_is_valid{true};
    pool.parallel_for(num_tasks, [&](int64_t task, int thread) {
      ++runs[static_cast<size_t>(task)];
      if (thread < 0 || thread >= pool.num_threads()) thread_is_valid = false;
    });
    EXPECT_EQ(runs, std::vector<int>(static_cast<size_t>(num_tasks), 1));
    EXPECT_TRUE(thread_is_valid);
  }
}

TEST_P(ThreadPoolTest, NoTwoTasksShareAThreadNumberAtATime) {
  ThreadPool pool(GetParam());
  std::vector<int64_t> sums(static_cast<size_t>(GetParam()));  // one a thread, not atomic
  for (int call = 0; call < 2000; ++call) {
    pool.parallel_for(8,
                      [&](int64_t task, int thread) { sums[static_cast<size_t>(thread)] += task; });
  }
  int64_t total = 0;
  for (const int64_t sum : sums) total += sum;
  EXPECT_EQ(total, 2000 * 28);
}

TEST_P(ThreadPoolTest, WakesThreadsThatSleep) {
  ThreadPool pool(GetParam());
  std::atomic<int> runs{0};
  for (int call = 0; call < 5; ++call) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    pool.parallel_for(50, [&](int64_t, int) { ++runs; });
  }
  EXPECT_EQ(runs, 250);
}

TEST_P(ThreadPoolTest, RethrowsTheErrorOfATaskAndGoesOn) {
  ThreadPool pool(GetParam());
  for (int call = 0; call < 100; ++call) {
    EXPECT_THROW(pool.parallel_for(20,
                                   [](int64_t task, int) {
                                     if (task % 5 == 3) throw std::runtime_error("task");
                                   }),
                 std::runtime_error);
    std::atomic<int> runs{0};
    pool.parallel_for(20, [&](int64_t, int) { ++runs; });
    EXPECT_EQ(runs, 20);
  }
}

TEST_P(ThreadPoolTest, AllThreadsTakePart) {
  ThreadPool pool(GetParam());
  // Each task waits for the others, so every one needs a thread of its own.
  std::atomic<int> arrived{0};
  pool.parallel_for(GetParam(), [&](int64_t, int) {
    ++arrived;
    while (arrived < GetParam()) std::this_thread::yield();
  });
  EXPECT_EQ(arrived, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, testing::Values(1, 2, 3, 8));

TEST(ThreadPool, NeedsAThread) { EXPECT_THROW(ThreadPool(0), Error); }

TEST(AlignedBuffer, IsAlignedAndMovesItsMemory) {
  const AlignedBuffer none;
  EXPECT_EQ(none.data(), nullptr);
  EXPECT_EQ(none.bytes(), 0);
  AlignedBuffer small(100);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small.data()) % 64, 0u);
  AlignedBuffer large(int64_t{5} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large.data()) % (2 << 20), 0u);
  void* const data = large.data();
  small = std::move(large);
  EXPECT_EQ(small.data(), data);
  EXPECT_EQ(small.bytes(), int64_t{5} << 20);
}

TEST(AlignedBuffer, SaysThatMemoryIsMissing) {
  EXPECT_THROW(AlignedBuffer(int64_t{1} << 60), Error);
}

}  // namespace
}  // namespace switchyard
