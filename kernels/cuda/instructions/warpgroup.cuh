// Products by whole warpgroups (four warps) out of shared memory, and what hands tiles from threads
// that copy to threads that multiply: wgmma, named barriers and setmaxnreg of the PTX ISA (sections
// 9.7.15, 9.7.13.1 and 9.7.20.5), sm_90a only.
#pragma once

#include <cstdint>

#include "kernels/cuda/instructions/async_copy.cuh"

/// Whether the code being compiled is for a GPU that has these instructions. Kernels made of them
/// are empty elsewhere.
#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define SWITCHYARD_HAS_WARPGROUPS 1
#else
#define SWITCHYARD_HAS_WARPGROUPS 0
#endif

namespace switchyard::cuda {

// Barriers 1 to 15 of a block, for `count` threads, a multiple of 32.
// ------------------------------

/// Waits until `count` threads have come; sees what these wrote before.
__device__ inline void barrier_sync(int barrier, int count) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(count) : "memory");
}
/// Comes without waiting.
__device__ inline void barrier_arrive(int barrier, int count) {
  asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "r"(count) : "memory");
}

/// Gives registers back, or takes them, so that each thread of this warpgroup has kCount.
template <int kCount>
__device__ inline void keep_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
__device__ inline void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}

/// What this thread wrote into shared memory so far is seen by products that begin after a barrier.
/// Without the state space the fence would wait for the thread's copies of all memory.
__device__ inline void show_to_products() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Operands: see "Matrix Descriptor Format" of the PTX ISA. Addresses and offsets are in 16 bytes.
// -------------------------------------------------------------------------------------------------

/// Names a matrix in shared memory.
using MatrixOperand = uint64_t;

__device__ inline MatrixOperand matrix_operand(const void* shared, uint64_t leading,
                                               uint64_t stride, uint64_t swizzle) {
  return (static_cast<uint64_t>(shared_address(shared)) & 0x3FFFFu) >> 4 | leading << 16 |
         stride << 32 | swizzle << 62;
}

/// 64 outputs of two panels, each [k][32] with 64 bytes a k, kPanelBytes apart; the 16-byte piece c
/// of k lies at c ^ (k / 2 % 4). `shared` is a multiple of 512.
template <int kPanelBytes>
__device__ inline MatrixOperand panels_operand(const void* shared) {
  return matrix_operand(shared, kPanelBytes >> 4, 512 >> 4, 2);
}
/// Rows of 64 inputs, 128 bytes each; the 16-byte piece c of row r lies at c ^ (r % 8). `shared` is
/// a multiple of 1024.
__device__ inline MatrixOperand rows_operand(const void* shared) {
  return matrix_operand(shared, 1, 1024 >> 4, 1);
}
/// The operand's next 16 inputs are `bytes` further on.
__device__ inline MatrixOperand advance_operand(MatrixOperand operand, int bytes) {
  return operand + static_cast<uint64_t>(bytes >> 4);
}

// Products: c += weights rows, [64, 16] by [16, n] with n = 2 x the elements of c. Warp w has
// outputs 16 w to 16 w + 15; of each 8 rows a thread's 4 sums are those of multiply_bf16().
// -------------------------------------------------------------------------------------------------

#define SWITCHYARD_SUMS_8(c, i)                                                               \
  "+f"(c[i]), "+f"(c[i + 1]), "+f"(c[i + 2]), "+f"(c[i + 3]), "+f"(c[i + 4]), "+f"(c[i + 5]), \
      "+f"(c[i + 6]), "+f"(c[i + 7])

__device__ inline void multiply_warpgroup_bf16(float (&c)[32], MatrixOperand weights,
                                               MatrixOperand rows) {
  asm volatile(
      "{ .reg .pred adds; setp.eq.u32 adds, 1, 1; "
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, "
      "%7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, adds, 1, 1, 1, 0; } "
      : SWITCHYARD_SUMS_8(c, 0), SWITCHYARD_SUMS_8(c, 8), SWITCHYARD_SUMS_8(c, 16),
        SWITCHYARD_SUMS_8(c, 24)
      : "l"(weights), "l"(rows));
}

__device__ inline void multiply_warpgroup_f16(float (&c)[32], MatrixOperand weights,
                                              MatrixOperand rows) {
  asm volatile(
      "{ .reg .pred adds; setp.eq.u32 adds, 1, 1; "
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, "
      "%7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31}, %32, %33, adds, 1, 1, 1, 0; } "
      : SWITCHYARD_SUMS_8(c, 0), SWITCHYARD_SUMS_8(c, 8), SWITCHYARD_SUMS_8(c, 16),
        SWITCHYARD_SUMS_8(c, 24)
      : "l"(weights), "l"(rows));
}

__device__ inline void multiply_warpgroup_bf16(float (&c)[64], MatrixOperand weights,
                                               MatrixOperand rows) {
  asm volatile(
      "{ .reg .pred adds; setp.eq.u32 adds, 1, 1; "
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, "
      "%6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, "
      "%23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, "
      "%39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, "
      "%55, %56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, adds, 1, 1, 1, 0; } "
      : SWITCHYARD_SUMS_8(c, 0), SWITCHYARD_SUMS_8(c, 8), SWITCHYARD_SUMS_8(c, 16),
        SWITCHYARD_SUMS_8(c, 24), SWITCHYARD_SUMS_8(c, 32), SWITCHYARD_SUMS_8(c, 40),
        SWITCHYARD_SUMS_8(c, 48), SWITCHYARD_SUMS_8(c, 56)
      : "l"(weights), "l"(rows));
}

__device__ inline void multiply_warpgroup_f16(float (&c)[64], MatrixOperand weights,
                                              MatrixOperand rows) {
  asm volatile(
      "{ .reg .pred adds; setp.eq.u32 adds, 1, 1; "
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, "
      "%7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63}, %64, %65, adds, 1, 1, 1, 0; } "
      : SWITCHYARD_SUMS_8(c, 0), SWITCHYARD_SUMS_8(c, 8), SWITCHYARD_SUMS_8(c, 16),
        SWITCHYARD_SUMS_8(c, 24), SWITCHYARD_SUMS_8(c, 32), SWITCHYARD_SUMS_8(c, 40),
        SWITCHYARD_SUMS_8(c, 48), SWITCHYARD_SUMS_8(c, 56)
      : "l"(weights), "l"(rows));
}

__device__ inline void multiply_warpgroup_bf16(float (&c)[128], MatrixOperand weights,
                                               MatrixOperand rows) {
  asm volatile(
      "{ .reg .pred adds; setp.eq.u32 adds, 1, 1; "
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, "
      "%6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, "
      "%23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, "
      "%39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, "
      "%55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, "
      "%71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, "
      "%87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, "
      "%102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, "
      "%115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
      "%128, %129, adds, 1, 1, 1, 0; } "
      : SWITCHYARD_SUMS_8(c, 0), SWITCHYARD_SUMS_8(c, 8), SWITCHYARD_SUMS_8(c, 16),
        SWITCHYARD_SUMS_8(c, 24), SWITCHYARD_SUMS_8(c, 32), SWITCHYARD_SUMS_8(c, 40),
        SWITCHYARD_SUMS_8(c, 48), SWITCHYARD_SUMS_8(c, 56), SWITCHYARD_SUMS_8(c, 64),
        SWITCHYARD_SUMS_8(c, 72), SWITCHYARD_SUMS_8(c, 80), SWITCHYARD_SUMS_8(c, 88),
        SWITCHYARD_SUMS_8(c, 96), SWITCHYARD_SUMS_8(c, 104), SWITCHYARD_SUMS_8(c, 112),
        SWITCHYARD_SUMS_8(c, 120)
      : "l"(weights), "l"(rows));
}

__device__ inline void multiply_warpgroup_f16(float (&c)[128], MatrixOperand weights,
                                              MatrixOperand rows) {
  asm volatile(
      "{ .reg .pred adds; setp.eq.u32 adds, 1, 1; "
      "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {%0, %1, %2, %3, %4, %5, %6, "
      "%7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "
      "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, "
      "%40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, "
      "%56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, "
      "%72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, "
      "%88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, "
      "%103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, "
      "%116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, %128, "
      "%129, adds, 1, 1, 1, 0; } "
      : SWITCHYARD_SUMS_8(c, 0), SWITCHYARD_SUMS_8(c, 8), SWITCHYARD_SUMS_8(c, 16),
        SWITCHYARD_SUMS_8(c, 24), SWITCHYARD_SUMS_8(c, 32), SWITCHYARD_SUMS_8(c, 40),
        SWITCHYARD_SUMS_8(c, 48), SWITCHYARD_SUMS_8(c, 56), SWITCHYARD_SUMS_8(c, 64),
        SWITCHYARD_SUMS_8(c, 72), SWITCHYARD_SUMS_8(c, 80), SWITCHYARD_SUMS_8(c, 88),
        SWITCHYARD_SUMS_8(c, 96), SWITCHYARD_SUMS_8(c, 104), SWITCHYARD_SUMS_8(c, 112),
        SWITCHYARD_SUMS_8(c, 120)
      : "l"(weights), "l"(rows));
}

#undef SWITCHYARD_SUMS_8

/// Comes before the first product and after registers of sums were written.
__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// The products so far that no group has form one.
__device__ inline void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/// Waits until all but the kLeft last groups are done.
template <int kLeft>
__device__ inline void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}
/// The compiler neither moves nor keeps elsewhere what products write behind its back.
template <int kCount>
__device__ inline void hold_sums(float (&sums)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

}  // namespace switchyard::cuda
