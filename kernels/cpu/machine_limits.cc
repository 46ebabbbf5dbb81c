#include "kernels/cpu/machine_limits.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/timing.h"

namespace switchyard {
namespace {

constexpr int kChains = 24;  // latency 4 to 5 cycles x 2 units, with room
constexpr int64_t kSteps = 400000;

std::atomic<float> sink_of_sums{0.0f};

/// Lanes of one step's result, and the steps themselves.
struct FmaLoop {
  int lanes;
  float (*run)(int64_t steps);
};

float portable_steps(int64_t steps) {
  float sums[kChains] = {};
  for (int64_t i = 0; i < steps; ++i) {
    for (float& sum : sums) sum = std::fma(sum, 0.5f, 1.0f);
  }
  float total = 0.0f;
  for (const float sum : sums) total += sum;
  return total;
}

#if defined(__x86_64__)
[[gnu::target("avx512f")]] float avx512_steps(int64_t steps) {
  __m512 sums[kChains];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  const __m512 half = _mm512_set1_ps(0.5f), one = _mm512_set1_ps(1.0f);
  for (int64_t i = 0; i < steps; ++i) {
#pragma GCC unroll 24
    for (int c = 0; c < kChains; ++c) sums[c] = _mm512_fmadd_ps(sums[c], half, one);
  }
  float total = 0.0f;
  for (const __m512& sum : sums) total += _mm_cvtss_f32(_mm512_maskz_extractf32x4_ps(15, sum, 0));
  return total;
}

[[gnu::target("avx2,fma")]] float avx2_steps(int64_t steps) {
  constexpr int kRegisterChains = 12;  // 16 registers
  __m256 sums[kRegisterChains];
  for (__m256& sum : sums) sum = _mm256_setzero_ps();
  const __m256 half = _mm256_set1_ps(0.5f), one = _mm256_set1_ps(1.0f);
  for (int64_t i = 0; i < 2 * steps; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < kRegisterChains; ++c) sums[c] = _mm256_fmadd_ps(sums[c], half, one);
  }
  float total = 0.0f;
  for (const __m256& sum : sums) total += _mm256_cvtss_f32(sum);
  return total;
}
#endif

FmaLoop loop_of(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return {16, &avx512_steps};
  if (set == InstructionSet::kAvx2) return {8, &avx2_steps};
#endif
  return {1, &portable_steps};
}

/// Adds up `words` words as kStreams pieces side by side, each requested 1 KiB ahead.
template <int kStreams>
uint64_t read_streams(const uint64_t* data, int64_t words) {
  // A cache line a vector: the compiler splits it into registers of the machine.
  using Line [[gnu::vector_size(64), gnu::aligned(8)]] = uint64_t;
  constexpr int64_t kLineWords = 8;
  const int64_t stride = words / kStreams;
  Line sums[kStreams] = {};
  for (int64_t i = 0; i + kLineWords <= stride; i += kLineWords) {
    for (int s = 0; s < kStreams; ++s) {
      const uint64_t* const at = data + s * stride + i;
      __builtin_prefetch(at + 128);
      sums[s] += *reinterpret_cast<const Line*>(at);
    }
  }
  uint64_t total = 0;
  for (const Line& sum : sums) {
    for (int w = 0; w < kLineWords; ++w) total += sum[w];
  }
  return total;
}

}  // namespace

double measure_fma_peak(InstructionSet set, ThreadPool& pool) {
  const FmaLoop loop = loop_of(set);
  const double seconds = best_seconds(25, [&] {
    pool.parallel_for(pool.num_threads(), [&](int64_t, int) { sink_of_sums = loop.run(kSteps); });
  });
  return 2.0 * kChains * loop.lanes * static_cast<double>(kSteps) * pool.num_threads() / seconds;
}

double measure_read_bandwidth(ThreadPool& pool, const void* data, int64_t bytes) {
  const int64_t words = bytes / pool.num_threads() / 512 * 64;
  double best = 0.0;
  std::atomic<uint64_t> sink{0};
  for (const auto read : {&read_streams<1>, &read_streams<2>, &read_streams<4>, &read_streams<8>}) {
    const double seconds = best_seconds(5, [&] {
      pool.parallel_for(pool.num_threads(), [&](int64_t task, int) {
        sink += read(static_cast<const uint64_t*>(data) + task * words, words);
      });
    });
    best = std::max(best, static_cast<double>(words * 8 * pool.num_threads()) / seconds);
  }
  return best;
}

std::vector<DeviceLimit> measure_machine_limits(InstructionSet set, int num_threads,
                                                const LimitSizes& sizes) {
  ThreadPool pool(num_threads);
  const int64_t bytes =
      sizes.bytes > 0 ? sizes.bytes : std::max(int64_t{128} << 20, 2 * last_level_cache_bytes());
  AlignedBuffer memory(bytes);
  std::memset(memory.data(), 1, static_cast<size_t>(bytes));
  const double read = measure_read_bandwidth(pool, memory.data(), bytes);
  const double peak = measure_fma_peak(set, pool);
  return {{LimitKind::kRead, "", "by plain loops", read, static_cast<double>(bytes) / read},
          {LimitKind::kProducts, "fp32", "fused multiply-adds on registers", peak,
           2.0 * kChains * loop_of(set).lanes * static_cast<double>(kSteps) * num_threads / peak}};
}

int64_t last_level_cache_bytes() {
#if defined(_SC_LEVEL3_CACHE_SIZE)
  const int64_t bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
  if (bytes > 0) return bytes;
#endif
  return int64_t{32} << 20;
}

}  // namespace switchyard
