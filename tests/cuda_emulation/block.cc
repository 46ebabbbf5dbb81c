#include "tests/cuda_emulation/block.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/context/detail/fcontext.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace cuda_emulation {
namespace {

using boost::context::detail::fcontext_t;
using boost::context::detail::jump_fcontext;
using boost::context::detail::make_fcontext;
using boost::context::detail::transfer_t;

// Kernels keep tiles in local arrays; the sanitizers' frames are larger still.
constexpr size_t kStackBytes = 256 * 1024;
constexpr int kMaxThreads = 1024;
// Polls in a row of one block without anything else happening: then it hangs.
constexpr int64_t kMostPolls = 10'000'000;

/// CUDA_EMULATION_SEED runs a whole test program with shuffled blocks.
uint64_t seed_of_environment() {
  const char* const text = std::getenv("CUDA_EMULATION_SEED");
  return text == nullptr ? 0 : std::strtoull(text, nullptr, 10);
}
std::atomic<uint64_t> block_order_seed{seed_of_environment()};

/// An asynchronous copy on its way.
struct Copy {
  void* to = nullptr;
  const void* from = nullptr;
  size_t bytes = 0;
};

/// A stack of execution. It runs one thread of the block after another, until one has to wait:
/// then the fiber is that thread's.
struct Fiber {
  void* stack = nullptr;
  fcontext_t context = nullptr;
  int thread = 0;            // its number in the block
  std::vector<Copy> copies;  // that no group has yet
  std::deque<std::vector<Copy>> groups;
  void* sanitizer_stack = nullptr;
};

/// A barrier that counts bulk copies: how many batches are there, and the one that is not.
struct BulkBatch {
  int64_t num_there = 0;
  size_t bytes_expected = 0;
  std::vector<Copy> copies;

  size_t bytes() const {
    size_t sum = 0;
    for (const Copy& copy : copies) sum += copy.bytes;
    return sum;
  }
};

/// Threads that wait for each other.
struct Meeting {
  int64_t key = 0;
  int expected = 0;
  int arrived = 0;
  std::vector<void*> args;
  std::vector<Fiber*> waiting;
};

class Block;
thread_local Block* running_block = nullptr;
thread_local Fiber* running_fiber = nullptr;

/// The blocks that one thread of the host runs, one after the other.
class Block {
 public:
  ~Block() {
    for (const auto& fiber : fibers_) munmap(fiber->stack, kStackBytes);
    std::free(shared_);
  }

  void run(const GridShape& shape, const uint3& index, const std::function<void()>& kernel) {
    shape_ = shape;
    kernel_ = &kernel;
    blockIdx = index;
    blockDim = shape.block;
    gridDim = shape.grid;
    num_threads_ = static_cast<int>(shape.block.x * shape.block.y * shape.block.z);
    next_thread_ = 0;
    finished_ = 0;
    barrier_arrived_ = 0;
    polls_ = 0;
    reserve_shared(shape.shared_bytes);
    while (finished_ < num_threads_) step();
    require(meetings_.empty(), "threads ended while others of their warp wait for them");
    for (const auto& [barrier, batch] : bulk_) {
      require(batch.copies.empty(), "a block ended before its bulk copies");
    }
    bulk_.clear();
  }

  void* shared() { return shared_; }

  void barrier() {
    polls_ = 0;
    if (++barrier_arrived_ + finished_ == num_threads_) return release_barrier();
    barrier_waiting_.push_back(running_fiber);
    suspend();
  }

  void meet(int64_t key, int expected, int slot, int num_slots, void* mine,
            void (*compute)(void** args)) {
    polls_ = 0;
    auto found = std::find_if(meetings_.begin(), meetings_.end(),
                              [key](const auto& meeting) { return meeting->key == key; });
    if (found == meetings_.end()) {
      meetings_.push_back(take_meeting());
      found = meetings_.end() - 1;
      (*found)->key = key;
      (*found)->expected = expected;
      (*found)->args.assign(static_cast<size_t>(num_slots), nullptr);
    }
    Meeting& meeting = **found;
    meeting.args[static_cast<size_t>(slot)] = mine;
    if (++meeting.arrived < meeting.expected) {
      meeting.waiting.push_back(running_fiber);
      return suspend();
    }
    std::unique_ptr<Meeting> done = std::move(*found);
    meetings_.erase(found);
    compute(done->args.data());
    ready_.insert(ready_.end(), done->waiting.begin(), done->waiting.end());
    done->waiting.clear();
    done->arrived = 0;
    spare_meetings_.push_back(std::move(done));
  }

  void named(int barrier, int count, bool waits) {
    Meeting& meeting = named_[static_cast<size_t>(barrier)];
    polls_ = 0;
    require(meeting.arrived == 0 || meeting.expected == count,
            "threads meet at a named barrier with different counts");
    meeting.expected = count;
    if (++meeting.arrived == count) {
      ready_.insert(ready_.end(), meeting.waiting.begin(), meeting.waiting.end());
      meeting.waiting.clear();
      meeting.arrived = 0;
      return;
    }
    if (!waits) return;
    meeting.waiting.push_back(running_fiber);
    suspend();
  }

  void start_bulk(const void* barrier) {
    require(bulk_.try_emplace(barrier).second, "a bulk barrier is started twice");
  }
  BulkBatch& bulk(const void* barrier) {
    const auto found = bulk_.find(barrier);
    require(found != bulk_.end(), "a bulk barrier was not started");
    return found->second;
  }
  void wait_for_bulk(const void* barrier, int parity) {
    BulkBatch& batch = bulk(barrier);
    while (batch.num_there % 2 == parity) {
      if (batch.bytes_expected > 0 && batch.bytes() == batch.bytes_expected) {
        for (const Copy& copy : batch.copies) std::memcpy(copy.to, copy.from, copy.bytes);
        batch = {batch.num_there + 1, 0, {}};
        polls_ = 0;
      } else {
        poll();
      }
    }
  }

  void poll() {
    require(++polls_ < kMostPolls, "threads poll for ever");
    ready_.push_back(running_fiber);
    suspend();
  }

 private:
  static void fiber_main(transfer_t transfer) {
    auto* const block = static_cast<Block*>(transfer.data);
    block->scheduler_ = transfer.fctx;
    arrive_on_fiber(*running_fiber);
    block->run_threads();
  }

  [[noreturn]] void run_threads() {
    for (;;) {
      Fiber* const fiber = running_fiber;
      while (next_thread_ < num_threads_) {
        fiber->thread = next_thread_++;
        fiber->copies.clear();
        fiber->groups.clear();
        show_thread(*fiber);
        (*kernel_)();
        finish_thread();
      }
      idle_.push_back(fiber);
      suspend();
    }
  }

  /// Gives the fiber's thread its threadIdx.
  void show_thread(const Fiber& fiber) const {
    const auto n = static_cast<unsigned>(fiber.thread);
    thread_number = fiber.thread;
    threadIdx = {n % shape_.block.x, n / shape_.block.x % shape_.block.y,
                 n / (shape_.block.x * shape_.block.y)};
  }

  void finish_thread() {
    ++finished_;
    polls_ = 0;
    if (barrier_arrived_ > 0 && barrier_arrived_ + finished_ == num_threads_) release_barrier();
  }

  void release_barrier() {
    barrier_arrived_ = 0;
    ready_.insert(ready_.end(), barrier_waiting_.begin(), barrier_waiting_.end());
    barrier_waiting_.clear();
  }

  /// Runs one fiber until it waits or has nothing to do.
  void step() {
    Fiber* fiber = nullptr;
    if (next_thread_ < num_threads_) {
      fiber = take_idle();
    } else {
      require(!ready_.empty(), "threads wait for others that never come");
      fiber = ready_.front();
      ready_.pop_front();
    }
    resume(*fiber);
  }

  Fiber* take_idle() {
    if (idle_.empty()) {
      auto fiber = std::make_unique<Fiber>();
      fiber->stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      require(fiber->stack != MAP_FAILED, "no memory for a thread's stack");
#if defined(__SANITIZE_ADDRESS__)
      // An earlier stack at this address may have ended in the middle of its functions.
      __asan_unpoison_memory_region(fiber->stack, kStackBytes);
#endif
      fiber->context =
          make_fcontext(static_cast<char*>(fiber->stack) + kStackBytes, kStackBytes, fiber_main);
      idle_.push_back(fiber.get());
      fibers_.push_back(std::move(fiber));
    }
    Fiber* const fiber = idle_.back();
    idle_.pop_back();
    return fiber;
  }

  void resume(Fiber& fiber) {
    running_fiber = &fiber;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&scheduler_sanitizer_stack_, fiber.stack, kStackBytes);
#endif
    fiber.context = jump_fcontext(fiber.context, this).fctx;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(scheduler_sanitizer_stack_, nullptr, nullptr);
#endif
    running_fiber = nullptr;
  }

  /// Gives the host's thread back to the scheduler until somebody resumes this fiber.
  void suspend() {
    Fiber* const fiber = running_fiber;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&fiber->sanitizer_stack, scheduler_stack_,
                                   scheduler_stack_bytes_);
#endif
    scheduler_ = jump_fcontext(scheduler_, nullptr).fctx;
    arrive_on_fiber(*fiber);
    show_thread(*fiber);
  }

  static void arrive_on_fiber([[maybe_unused]] Fiber& fiber) {
#if defined(__SANITIZE_ADDRESS__)
    Block* const block = running_block;
    __sanitizer_finish_switch_fiber(fiber.sanitizer_stack, &block->scheduler_stack_,
                                    &block->scheduler_stack_bytes_);
#endif
  }

  void reserve_shared(size_t bytes) {
    if (bytes > shared_bytes_) {
      std::free(shared_);
      shared_bytes_ = (bytes + 1023) / 1024 * 1024;
      shared_ = std::aligned_alloc(1024, shared_bytes_);
    }
    if (bytes > 0) std::memset(shared_, 0xFF, bytes);
  }

  std::unique_ptr<Meeting> take_meeting() {
    if (spare_meetings_.empty()) return std::make_unique<Meeting>();
    std::unique_ptr<Meeting> meeting = std::move(spare_meetings_.back());
    spare_meetings_.pop_back();
    return meeting;
  }

  GridShape shape_;
  const std::function<void()>* kernel_ = nullptr;
  int num_threads_ = 0;
  int next_thread_ = 0;
  int finished_ = 0;
  int barrier_arrived_ = 0;
  int64_t polls_ = 0;
  void* shared_ = nullptr;
  size_t shared_bytes_ = 0;
  fcontext_t scheduler_ = nullptr;
  void* scheduler_sanitizer_stack_ = nullptr;
  const void* scheduler_stack_ = nullptr;
  size_t scheduler_stack_bytes_ = 0;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_;
  std::deque<Fiber*> ready_;
  std::vector<Fiber*> barrier_waiting_;
  std::vector<std::unique_ptr<Meeting>> meetings_;
  std::vector<std::unique_ptr<Meeting>> spare_meetings_;
  std::array<Meeting, 16> named_;
  std::map<const void*, BulkBatch> bulk_;
};

// Keys of meetings: warps, then warpgroups.
int64_t warp_key(unsigned mask) { return int64_t{thread_number / 32} << 32 | mask; }
int64_t warpgroup_key() { return int64_t{1} << 40 | thread_number / 128; }

}  // namespace

bool is_possible(const GridShape& shape) {
  const uint64_t threads = uint64_t{shape.block.x} * shape.block.y * shape.block.z;
  return threads >= 1 && threads <= kMaxThreads && shape.block.z <= 64 && shape.grid.x >= 1 &&
         shape.grid.x <= 0x7FFFFFFF && shape.grid.y >= 1 && shape.grid.y <= 65535 &&
         shape.grid.z >= 1 && shape.grid.z <= 65535 && shape.shared_bytes <= 227 * 1024;
}

void run_grid(const GridShape& shape, const std::function<void()>& kernel) {
  static thread_local Block block;
  running_block = &block;
  const size_t count = size_t{shape.grid.x} * shape.grid.y * shape.grid.z;
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  const uint64_t seed = block_order_seed.load();
  if (seed != 0) std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  for (const size_t n : order) {
    const auto x = static_cast<unsigned>(n % shape.grid.x);
    const auto y = static_cast<unsigned>(n / shape.grid.x % shape.grid.y);
    const auto z = static_cast<unsigned>(n / (size_t{shape.grid.x} * shape.grid.y));
    block.run(shape, {x, y, z}, kernel);
  }
  running_block = nullptr;
}

void set_block_order_seed(uint64_t seed) { block_order_seed = seed; }

void* dynamic_shared_memory() { return running_block->shared(); }

void block_barrier() { running_block->barrier(); }

void warp_collective(unsigned mask, void* mine, void (*meet)(void** args)) {
  const int lane = lane_of_warp();
  require((mask >> lane & 1) != 0, "a thread calls a warp function that its mask leaves out");
  running_block->meet(warp_key(mask), __builtin_popcount(mask), lane, 32, mine, meet);
}

void warpgroup_collective(void* mine, void (*meet)(void** args)) {
  running_block->meet(warpgroup_key(), 128, thread_number % 128, 128, mine, meet);
}

void named_barrier_sync(int barrier, int count) { running_block->named(barrier, count, true); }
void named_barrier_arrive(int barrier, int count) { running_block->named(barrier, count, false); }

void start_copy(void* to, const void* from, size_t bytes) {
  running_fiber->copies.push_back({to, from, bytes});
}

void commit_copies() {
  running_fiber->groups.push_back(std::move(running_fiber->copies));
  running_fiber->copies.clear();
}

void wait_for_copies(int groups_left) {
  auto& groups = running_fiber->groups;
  while (static_cast<int>(groups.size()) > groups_left) {
    for (const Copy& copy : groups.front()) std::memcpy(copy.to, copy.from, copy.bytes);
    groups.pop_front();
  }
}

void start_bulk_barrier(const void* barrier) { running_block->start_bulk(barrier); }

void expect_bulk(const void* barrier, size_t bytes) {
  BulkBatch& batch = running_block->bulk(barrier);
  require(batch.bytes_expected == 0, "a batch of bulk copies begins before the last one is there");
  batch.bytes_expected = bytes;
}

void copy_bulk(void* to, const void* from, size_t bytes, const void* barrier) {
  running_block->bulk(barrier).copies.push_back({to, from, bytes});
}

void wait_for_bulk(const void* barrier, int parity) {
  running_block->wait_for_bulk(barrier, parity);
}

void yield_thread() { running_block->poll(); }

void require(bool holds, const char* message) {
  if (holds) return;
  std::fprintf(stderr, "emulated GPU: %s", message);
  if (running_fiber != nullptr) {
    std::fprintf(stderr, " (block %u %u %u, thread %d)", blockIdx.x, blockIdx.y, blockIdx.z,
                 running_fiber->thread);
  }
  std::fprintf(stderr, "\n");
  std::abort();
}

}  // namespace cuda_emulation
