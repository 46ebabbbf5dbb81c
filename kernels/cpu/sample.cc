#include "kernels/cpu/sample.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/base/error.h"
#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {
namespace {

// Tokens of one bucket agree in sign, exponent and the first four bits of the mantissa of how far
// their logits lie below the largest one.
constexpr int kBucketShift = 19;
constexpr int64_t kNumBuckets = int64_t{1} << (31 - kBucketShift);
// Odds computed at a time: 4 KiB on the stack.
constexpr int64_t kChunk = 1024;
// 2^20 odds of at most 1 stay below 2^63 in these units.
constexpr float kUnitsOfOne = 0x1p42f;

struct Bucket {
  int64_t count = 0;
  int64_t odds = 0;
};

struct Candidate {
  float logit = 0.0f;
  int32_t id = 0;
};

bool comes_first(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

// The first tokens of a row in the order of their logits: the sum of their odds and the last one.
struct Prefix {
  int64_t odds = 0;
  int32_t last_id = 0;
};

int64_t scratch_floats(int64_t vocabulary) {
  return (kNumBuckets * static_cast<int64_t>(sizeof(Bucket)) +
          vocabulary * static_cast<int64_t>(sizeof(Candidate))) /
         4;
}

// Draws from one row.
class RowSampler {
 public:
  RowSampler(const CpuKernels& kernels, const SampleParams& params, int64_t row, float* scratch)
      : kernels_(kernels),
        params_(params),
        settings_(params.rows[static_cast<size_t>(row)]),
        logits_(params.logits + row * params.vocabulary),
        buckets_(reinterpret_cast<Bucket*>(scratch)),
        members_(reinterpret_cast<Candidate*>(buckets_ + kNumBuckets)) {}

  int32_t draw() {
    find_maximum();
    if (!std::isfinite(maximum_)) return first_allowed_;
    if (settings_.temperature == 0.0f) return greedy();
    int64_t total = fill_buckets();
    if (settings_.top_k > 0) total = odds_of_largest(settings_.top_k);
    if (settings_.top_p < 1.0f) {
      const double enough = std::ceil(double{settings_.top_p} * static_cast<double>(total));
      total = reach(std::max<int64_t>(1, static_cast<int64_t>(enough))).odds;
    }
    // A whole number passes a threshold where it reaches the next whole number.
    const double threshold = double{settings_.uniform} * static_cast<double>(total);
    return reach(static_cast<int64_t>(threshold) + 1).last_id;
  }

 private:
  // Calls body(first, count) for every run of tokens that are not banned, ascending.
  template <typename Body>
  void for_allowed(const Body& body) const {
    int64_t first = 0;
    for (const int32_t banned : params_.banned_ids[settings_.is_eos_banned ? 1 : 0]) {
      if (banned > first) body(first, banned - first);
      first = int64_t{banned} + 1;
    }
    if (first < params_.vocabulary) body(first, params_.vocabulary - first);
  }

  // As for_allowed, with the odds of at most kChunk tokens at a time: body(first, count, odds).
  template <typename Body>
  void for_odds(const Body& body) const {
    float odds[kChunk];
    for_allowed([&](int64_t begin, int64_t size) {
      for (int64_t first = begin; first < begin + size; first += kChunk) {
        const int64_t count = std::min(kChunk, begin + size - first);
        kernels_.token_odds({logits_ + first, count, maximum_, settings_.temperature}, odds);
        body(first, count, odds);
      }
    });
  }

  void find_maximum() {
    maximum_ = -std::numeric_limits<float>::infinity();
    first_allowed_ = -1;
    for_allowed([&](int64_t first, int64_t count) {
      if (first_allowed_ < 0) first_allowed_ = static_cast<int32_t>(first);
      const float largest = kernels_.row_maximum(logits_ + first, count);
      if (std::isnan(largest) || largest > maximum_) maximum_ = largest;
    });
  }

  int32_t greedy() const {
    int64_t found = params_.vocabulary;
    for_allowed([&](int64_t first, int64_t count) {
      if (found < params_.vocabulary) return;
      const float* end = logits_ + first + count;
      const float* place = std::find(logits_ + first, end, maximum_);
      if (place != end) found = place - logits_;
    });
    return static_cast<int32_t>(found);
  }

  static int64_t in_units(float odds) { return static_cast<int64_t>(odds * kUnitsOfOne); }

  int64_t bucket_of(float logit) const {
    return std::bit_cast<uint32_t>(maximum_ - logit) >> kBucketShift;
  }

  // Returns the sum of all odds.
  int64_t fill_buckets() {
    std::fill_n(buckets_, kNumBuckets, Bucket());
    gathered_ = -1;
    int64_t total = 0;
    for_odds([&](int64_t first, int64_t count, const float* odds) {
      for (int64_t i = 0; i < count; ++i) {
        Bucket& bucket = buckets_[bucket_of(logits_[first + i])];
        const int64_t units = in_units(odds[i]);
        ++bucket.count;
        bucket.odds += units;
        total += units;
      }
    });
    return total;
  }

  // Lists the tokens of a bucket in their order.
  void gather(int64_t bucket) {
    if (gathered_ == bucket) return;
    gathered_ = bucket;
    int64_t size = 0;
    for_allowed([&](int64_t first, int64_t count) {
      for (int64_t i = first; i < first + count && size < buckets_[bucket].count; ++i) {
        // Written always, kept if it belongs here: no branch to mispredict.
        members_[size] = {logits_[i], static_cast<int32_t>(i)};
        size += bucket_of(logits_[i]) == bucket ? 1 : 0;
      }
    });
    std::sort(members_, members_ + size, comes_first);
  }

  // Walks the tokens of a bucket in their order while body(odds, id) is true.
  template <typename Body>
  void walk(int64_t bucket, const Body& body) {
    gather(bucket);
    float values[kChunk];
    float odds[kChunk];
    for (int64_t first = 0; first < buckets_[bucket].count; first += kChunk) {
      const int64_t count = std::min(kChunk, buckets_[bucket].count - first);
      for (int64_t i = 0; i < count; ++i) values[i] = members_[first + i].logit;
      kernels_.token_odds({values, count, maximum_, settings_.temperature}, odds);
      for (int64_t i = 0; i < count; ++i) {
        if (!body(in_units(odds[i]), members_[first + i].id)) return;
      }
    }
  }

  // The sum of the odds of the `count` first tokens, of all if there are no more.
  int64_t odds_of_largest(int64_t count) {
    int64_t sum = 0;
    for (int64_t b = 0; b < kNumBuckets && count > 0; ++b) {
      if (buckets_[b].count <= count) {
        sum += buckets_[b].odds;
        count -= buckets_[b].count;
        continue;
      }
      walk(b, [&](int64_t odds, int32_t) {
        sum += odds;
        return --count > 0;
      });
    }
    return sum;
  }

  // The fewest first tokens whose odds sum to at least `odds`, which is between 1 and the sum of
  // all.
  Prefix reach(int64_t odds) {
    Prefix prefix;
    int64_t b = 0;
    while (b < kNumBuckets && prefix.odds + buckets_[b].odds < odds) {
      prefix.odds += buckets_[b++].odds;
    }
    SWITCHYARD_CHECK(b < kNumBuckets, "sample: odds ", odds, " of ", prefix.odds);
    walk(b, [&](int64_t more, int32_t id) {
      prefix.odds += more;
      prefix.last_id = id;
      return prefix.odds < odds;
    });
    return prefix;
  }

  const CpuKernels& kernels_;
  const SampleParams& params_;
  const SampleSettings& settings_;
  const float* logits_;
  Bucket* buckets_;     // [kNumBuckets]
  Candidate* members_;  // [vocabulary], of the bucket `gathered_`
  int64_t gathered_ = -1;
  float maximum_ = 0.0f;  // of the allowed tokens; NaN if one of them is
  int32_t first_allowed_ = -1;
};

}  // namespace

void sample(OpContext& context, const SampleParams& params) {
  context.reserve_scratch(scratch_floats(params.vocabulary));
  for_row_ranges(context, static_cast<int64_t>(params.rows.size()), params.vocabulary,
                 [&](int64_t begin, int64_t end, int thread) {
                   for (int64_t row = begin; row < end; ++row) {
                     RowSampler sampler(context.kernels, params, row, context.scratch(thread));
                     params.tokens[row] = sampler.draw();
                   }
                 });
}

}  // namespace switchyard::cpu
