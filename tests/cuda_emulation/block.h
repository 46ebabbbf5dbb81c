// One thread block on the host: its threads are fibers, so that each runs until it waits for
// others, on one thread of the host. A group of threads that meets (a warp for a shuffle, a block
// at a barrier) is a collective: the last to come computes for all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

struct uint3 {
  unsigned x = 0;
  unsigned y = 0;
  unsigned z = 0;
};

struct dim3 {
  constexpr dim3(unsigned x_in = 1, unsigned y_in = 1, unsigned z_in = 1)
      : x(x_in), y(y_in), z(z_in) {}
  unsigned x;
  unsigned y;
  unsigned z;
};

// Of the GPU's thread that runs now on the calling thread of the host.
inline constinit thread_local uint3 threadIdx;
inline constinit thread_local uint3 blockIdx;
inline constinit thread_local dim3 blockDim;
inline constinit thread_local dim3 gridDim;

namespace cuda_emulation {

/// The running thread's number in its block.
inline constinit thread_local int thread_number = 0;
inline int lane_of_warp() { return thread_number % 32; }

struct GridShape {
  dim3 grid;
  dim3 block;
  size_t shared_bytes = 0;
};

/// Whether a GPU could run such a grid.
bool is_possible(const GridShape& shape);

/// Runs every block of a grid, in an order that the seed shuffles, on the calling thread. A block
/// whose threads wait for ever ends the program with a message.
void run_grid(const GridShape& shape, const std::function<void()>& kernel);

/// Of the order of blocks; 0: ascending.
void set_block_order_seed(uint64_t seed);

/// The block's dynamic shared memory, aligned to 1024 bytes and filled with 0xFF when it begins.
void* dynamic_shared_memory();

/// Every thread of the block that has not ended meets.
void block_barrier();

/// The threads of `mask` in the caller's warp meet; the last to come calls meet(args), where
/// args[lane] is what that lane gave, null outside the mask.
void warp_collective(unsigned mask, void* mine, void (*meet)(void** args));

/// The 128 threads of the caller's warpgroup meet; meet(args) as above with args[0 .. 127].
void warpgroup_collective(void* mine, void (*meet)(void** args));

/// bar.sync and bar.arrive: `count` threads meet at one of 16 barriers; who only arrives goes on.
void named_barrier_sync(int barrier, int count);
void named_barrier_arrive(int barrier, int count);

/// Asynchronous copies of the running thread: they are made when their group is waited for.
void start_copy(void* to, const void* from, size_t bytes);
void commit_copies();
void wait_for_copies(int groups_left);

/// Bulk copies of the block, counted by barriers in shared memory: a batch is made when somebody
/// waits for it, once the bytes that are expected are on their way.
void start_bulk_barrier(const void* barrier);
void expect_bulk(const void* barrier, size_t bytes);
void copy_bulk(void* to, const void* from, size_t bytes, const void* barrier);
void wait_for_bulk(const void* barrier, int parity);

/// Lets the block's other threads run; for polling.
void yield_thread();

/// Ends the program with a message about the kernel unless the condition holds.
void require(bool holds, const char* message);

}  // namespace cuda_emulation
