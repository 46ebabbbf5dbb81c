#include "kernels/cpu/log_probs.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {
namespace {

// The best of a row as a binary heap with the worst of them on top, in two arrays: the outputs
// serve as its memory, so that any number of places needs no workspace.
class TopHeap {
 public:
  TopHeap(float* values, int32_t* ids, int64_t capacity)
      : values_(values), ids_(ids), capacity_(capacity) {}

  void offer(float value, int32_t id) {
    if (size_ < capacity_) {
      values_[size_] = value;
      ids_[size_] = id;
      sift_up(size_++);
    } else if (better(value, id, 0)) {
      values_[0] = value;
      ids_[0] = id;
      sift_down(0, size_);
    }
  }

  // Best first. The heap is then no heap any more.
  void sort() {
    for (int64_t end = size_ - 1; end > 0; --end) {
      swap(0, end);
      sift_down(0, end);
    }
  }

 private:
  bool better(float value, int32_t id, int64_t i) const {
    return value > values_[i] || (value == values_[i] && id < ids_[i]);
  }
  bool better(int64_t i, int64_t j) const { return better(values_[i], ids_[i], j); }
  void swap(int64_t i, int64_t j) {
    std::swap(values_[i], values_[j]);
    std::swap(ids_[i], ids_[j]);
  }

  void sift_up(int64_t i) {
    while (i > 0 && better((i - 1) / 2, i)) {
      swap(i, (i - 1) / 2);
      i = (i - 1) / 2;
    }
  }

  void sift_down(int64_t i, int64_t end) {
    while (true) {
      int64_t worst = i;
      for (const int64_t child : {2 * i + 1, 2 * i + 2}) {
        if (child < end && better(worst, child)) worst = child;
      }
      if (worst == i) return;
      swap(i, worst);
      i = worst;
    }
  }

  float* values_;
  int32_t* ids_;
  int64_t capacity_;
  int64_t size_ = 0;
};

float log_prob(float logit, const LogNormaliser& normaliser) {
  // This order keeps the digits of a likely token: near the maximum the difference is exact, and
  // log_sum is small.
  return (logit - normaliser.maximum) - normaliser.log_sum;
}

void find_top(const LogProbsParams& params, int64_t row, const LogNormaliser& normaliser) {
  const float* logits = params.logits + row * params.vocabulary;
  float* values = params.top_logprobs + row * params.num_top;
  TopHeap heap(values, params.top_ids + row * params.num_top, params.num_top);
  for (int64_t i = 0; i < params.vocabulary; ++i) {
    heap.offer(log_prob(logits[i], normaliser), static_cast<int32_t>(i));
  }
  heap.sort();
}

// The lowest id whose log-prob is the largest; several logits may round to it. 0 where it is NaN.
int32_t find_greedy(const float* logits, int64_t vocabulary, const LogNormaliser& normaliser) {
  const float largest = log_prob(normaliser.maximum, normaliser);
  for (int64_t i = 0; i < vocabulary; ++i) {
    if (log_prob(logits[i], normaliser) == largest) return static_cast<int32_t>(i);
  }
  return 0;
}

}  // namespace

void log_probs(OpContext& context, const LogProbsParams& params) {
  const auto one_row = [&](int64_t row) {
    const float* logits = params.logits + row * params.vocabulary;
    const int64_t target = params.targets[row];
    SWITCHYARD_CHECK(target >= 0 && target < params.vocabulary, "log_probs: targets[", row, "] is ",
                     target, " of ", params.vocabulary);
    const LogNormaliser normaliser = context.kernels.log_normaliser(logits, params.vocabulary);
    params.logprobs[row] = log_prob(logits[target], normaliser);
    params.greedy[row] = find_greedy(logits, params.vocabulary, normaliser);
    if (params.num_top > 0) find_top(params, row, normaliser);
  };
  for_row_ranges(context, params.num_rows, params.vocabulary, [&](int64_t begin, int64_t end, int) {
    for (int64_t row = begin; row < end; ++row) one_row(row);
  });
}

}  // namespace switchyard::cpu
