#include "kernels/cuda/sample.h"

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"
#include "kernels/cuda/block_search.cuh"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

// One block has a whole vocabulary: as many threads as there are.
constexpr unsigned kThreads = 1024;
// As in cpu/sample.cc: tokens of one bucket agree in sign, exponent and four bits of the mantissa
// of how far their logits lie below the largest one; odds are counted in 2^-42.
constexpr int kBucketShift = 19;
constexpr int64_t kNumBuckets = int64_t{1} << (31 - kBucketShift);
constexpr float kUnitsOfOne = 0x1p42f;

struct Bucket {
  unsigned long long count;
  unsigned long long odds;
};

static_assert(kNumBuckets % kThreads == 0);

__device__ Bucket operator+(const Bucket& a, const Bucket& b) {
  return {a.count + b.count, a.odds + b.odds};
}

/// The first bucket with which more than a limit of tokens or odds has passed, kNumBuckets without
/// one, and what has passed before it.
struct Border {
  int64_t bucket;
  Bucket before;
};

/// The workspace of a row.
struct Workspace {
  Bucket* buckets;  // [kNumBuckets]
  Ranked* members;  // [a power of two from vocabulary on]
};

int64_t padded(int64_t vocabulary) {
  int64_t size = 1;
  while (size < vocabulary) size *= 2;
  return size;
}

/// The row of one block. Every function is called by all its threads.
struct Row {
  const SampleCall& call;
  const SampleSettings& settings;
  const float* logits;
  Workspace work;
  Ranked* shared;     // [kThreads / 32]
  Bucket* warps;      // [kThreads / 32]
  Border* border;     // for what one thread finds, as `answer`
  long long* answer;  // [2], for what one thread finds
  float maximum;      // of the allowed tokens; NaN if one of them is
  int32_t first_allowed;
  int64_t gathered;  // the bucket whose tokens `members` lists
  int64_t num_members;
};

__device__ bool is_allowed(const Row& row, int64_t id) {
  const int list = row.settings.is_eos_banned ? 1 : 0;
  int64_t begin = 0;
  int64_t end = row.call.num_banned[list];
  while (begin < end) {
    const int64_t middle = (begin + end) / 2;
    const int64_t banned = row.call.banned_ids[list][middle];
    if (banned == id) return false;
    if (banned < id) {
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return true;
}

__device__ long long units_of(const Row& row, float logit) {
  const float odds = cpu::exp(LaneVec{(logit - row.maximum) / row.settings.temperature}).v;
  return static_cast<long long>(odds * kUnitsOfOne);
}

__device__ int64_t bucket_of(const Row& row, float logit) {
  return bits_of_float(row.maximum - logit) >> kBucketShift;
}

/// Calls body(id) for this thread's share of the allowed tokens.
template <typename Body>
__device__ void for_allowed(const Row& row, const Body& body) {
  for (int64_t id = threadIdx.x; id < row.call.vocabulary; id += kThreads) {
    if (is_allowed(row, id)) body(id);
  }
}

__device__ void find_maximum(Row& row) {
  Ranked best{0.0f, -1};
  Ranked lowest{0.0f, -1};  // by id alone
  Ranked nan{0.0f, -1};
  for_allowed(row, [&](int64_t id) {
    const Ranked entry{row.logits[id], static_cast<int32_t>(id)};
    if (goes_before(entry, best)) best = entry;
    if (lowest.id < 0) lowest = {0.0f, entry.id};
    if (entry.value != entry.value) nan = {0.0f, entry.id};
  });
  best = first_of_block(best, row.shared);
  row.first_allowed = first_of_block(lowest, row.shared).id;
  const bool has_nan = first_of_block(nan, row.shared).id >= 0;
  row.maximum = has_nan ? cpu::kNan : best.value;
  // The lowest id of the largest logit: what a greedy draw gives.
  row.num_members = best.id;
}

/// What the threads before this one have, each its `own`; by all threads.
__device__ Bucket sum_before(const Row& row, const Bucket& own) {
  const unsigned lane = threadIdx.x % 32;
  Bucket upto = own;
  for (unsigned distance = 1; distance < 32; distance *= 2) {
    const Bucket lower{__shfl_up_sync(0xFFFFFFFFu, upto.count, distance),
                       __shfl_up_sync(0xFFFFFFFFu, upto.odds, distance)};
    if (lane >= distance) upto = upto + lower;
  }
  if (lane == 31) row.warps[threadIdx.x / 32] = upto;
  __syncthreads();
  Bucket before{upto.count - own.count, upto.odds - own.odds};
  for (unsigned warp = 0; warp < threadIdx.x / 32; ++warp) before = before + row.warps[warp];
  return before;
}

/// The border by measure(Bucket), for every thread; each has a run of buckets. Whole numbers: the
/// order in which they are added does not matter.
template <typename Measure>
__device__ Border find_border(const Row& row, long long limit, const Measure& measure) {
  constexpr int64_t kShare = kNumBuckets / kThreads;
  const auto most = static_cast<unsigned long long>(limit);
  const int64_t first = threadIdx.x * kShare;
  Bucket own{0, 0};
  for (int64_t i = 0; i < kShare; ++i) own = own + row.work.buckets[first + i];
  Border border{first, sum_before(row, own)};
  const bool ends_here = measure(border.before + own) > most;
  if (ends_here && measure(border.before) <= most) {
    for (;; ++border.bucket) {
      const Bucket with = border.before + row.work.buckets[border.bucket];
      if (measure(with) > most) break;
      border.before = with;
    }
    *row.border = border;
  } else if (threadIdx.x + 1 == kThreads && !ends_here) {
    *row.border = {kNumBuckets, border.before + own};
  }
  __syncthreads();
  const Border found = *row.border;
  __syncthreads();
  return found;
}

/// The sum of all odds, by every thread.
__device__ long long fill_buckets(Row& row) {
  for (int64_t b = threadIdx.x; b < kNumBuckets; b += kThreads) row.work.buckets[b] = {0, 0};
  __syncthreads();
  for_allowed(row, [&](int64_t id) {
    Bucket& bucket = row.work.buckets[bucket_of(row, row.logits[id])];
    atomicAdd(&bucket.count, 1ull);
    atomicAdd(&bucket.odds, static_cast<unsigned long long>(units_of(row, row.logits[id])));
  });
  __syncthreads();
  const Border all =
      find_border(row, row.call.vocabulary, [](const Bucket& passed) { return passed.count; });
  return static_cast<long long>(all.before.odds);
}

/// Sorts the first `size` members, a power of two, by their order.
__device__ void sort_members(const Row& row, int64_t size) {
  for (int64_t run = 2; run <= size; run *= 2) {
    for (int64_t step = run / 2; step > 0; step /= 2) {
      for (int64_t i = threadIdx.x; i < size; i += kThreads) {
        const int64_t partner = i ^ step;
        if (partner < i) continue;
        Ranked& a = row.work.members[i];
        Ranked& b = row.work.members[partner];
        if (goes_before(b, a) == ((i & run) == 0)) {
          const Ranked moved = a;
          a = b;
          b = moved;
        }
      }
      __syncthreads();
    }
  }
}

/// Lists the tokens of a bucket in their order. They arrive in any order and are sorted: no two are
/// equal.
__device__ void gather(Row& row, int64_t bucket) {
  if (row.gathered == bucket) return;
  row.gathered = bucket;
  row.num_members = static_cast<int64_t>(row.work.buckets[bucket].count);
  if (threadIdx.x == 0) row.answer[0] = 0;
  __syncthreads();
  for_allowed(row, [&](int64_t id) {
    if (bucket_of(row, row.logits[id]) != bucket) return;
    const auto place = atomicAdd(reinterpret_cast<unsigned long long*>(row.answer), 1ull);
    row.work.members[place] = {row.logits[id], static_cast<int32_t>(id)};
  });
  __syncthreads();
  int64_t size = 1;
  while (size < row.num_members) size *= 2;
  for (int64_t i = row.num_members + threadIdx.x; i < size; i += kThreads) {
    row.work.members[i] = {0.0f, -1};
  }
  __syncthreads();
  sort_members(row, size);
}

/// The sum of the odds of the `count` first tokens, of all if there are no more.
__device__ long long odds_of_largest(Row& row, int64_t count) {
  const Border border = find_border(row, count, [](const Bucket& passed) { return passed.count; });
  const auto left = count - static_cast<int64_t>(border.before.count);
  if (border.bucket < kNumBuckets) gather(row, border.bucket);
  if (threadIdx.x == 0) {
    auto sum = static_cast<long long>(border.before.odds);
    for (int64_t i = 0; border.bucket < kNumBuckets && i < left; ++i) {
      sum += units_of(row, row.work.members[i].value);
    }
    row.answer[0] = sum;
  }
  __syncthreads();
  const long long sum = row.answer[0];
  __syncthreads();
  return sum;
}

/// Of the fewest first tokens whose odds sum to at least `odds`, the sum and the last one.
struct Prefix {
  long long odds;
  int32_t last_id;
};
__device__ Prefix reach(Row& row, long long odds) {
  const Border border =
      find_border(row, odds - 1, [](const Bucket& passed) { return passed.odds; });
  auto sum = static_cast<long long>(border.before.odds);
  if (border.bucket == kNumBuckets) return {sum, row.first_allowed};
  gather(row, border.bucket);
  if (threadIdx.x == 0) {
    int64_t i = 0;
    for (; i < row.num_members; ++i) {
      sum += units_of(row, row.work.members[i].value);
      if (sum >= odds) break;
    }
    row.answer[0] = sum;
    row.answer[1] = row.work.members[i].id;
  }
  __syncthreads();
  const Prefix prefix{row.answer[0], static_cast<int32_t>(row.answer[1])};
  __syncthreads();
  return prefix;
}

__device__ int32_t draw(Row& row) {
  find_maximum(row);
  if (!(row.maximum * 0.0f == 0.0f)) return row.first_allowed;
  if (row.settings.temperature == 0.0f) return static_cast<int32_t>(row.num_members);
  long long total = fill_buckets(row);
  if (row.settings.top_k > 0) total = odds_of_largest(row, row.settings.top_k);
  if (row.settings.top_p < 1.0f) {
    const double enough = ceil(double{row.settings.top_p} * static_cast<double>(total));
    const auto least = static_cast<long long>(enough);
    total = reach(row, least > 1 ? least : 1).odds;
  }
  // A whole number passes a threshold where it reaches the next whole number.
  const double threshold = double{row.settings.uniform} * static_cast<double>(total);
  return reach(row, static_cast<long long>(threshold) + 1).last_id;
}

/// A block a row.
__global__ void __launch_bounds__(kThreads)
    sample_kernel(SampleCall call, char* scratch, int64_t scratch_bytes) {
  __shared__ Ranked shared[kThreads / 32];
  __shared__ Bucket warps[kThreads / 32];
  __shared__ Border border;
  __shared__ long long answer[2];
  const int64_t number = blockIdx.x;
  char* const work = scratch + number * scratch_bytes;
  Row row{.call = call,
          .settings = call.rows[number],
          .logits = call.logits + number * call.vocabulary,
          .work = {reinterpret_cast<Bucket*>(work),
                   reinterpret_cast<Ranked*>(work + kNumBuckets * sizeof(Bucket))},
          .shared = shared,
          .warps = warps,
          .border = &border,
          .answer = answer,
          .maximum = 0.0f,
          .first_allowed = -1,
          .gathered = -1,
          .num_members = 0};
  const int32_t token = draw(row);
  if (threadIdx.x == 0) call.tokens[number] = token;
}

int64_t row_scratch_bytes(int64_t vocabulary) {
  return kNumBuckets * static_cast<int64_t>(sizeof(Bucket)) +
         padded(vocabulary) * static_cast<int64_t>(sizeof(Ranked));
}

}  // namespace

int64_t sample_scratch_bytes(int64_t num_rows, int64_t vocabulary) {
  return num_rows * row_scratch_bytes(vocabulary);
}

void sample(cudaStream_t stream, const SampleCall& call, void* scratch) {
  launch(sample_kernel, {static_cast<unsigned>(call.num_rows), kThreads}, stream, call,
         static_cast<char*>(scratch), row_scratch_bytes(call.vocabulary));
}

}  // namespace switchyard::cuda
