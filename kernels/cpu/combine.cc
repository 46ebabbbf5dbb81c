#include "kernels/cpu/combine.h"

#include <algorithm>
#include <array>
#include <bit>

#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {
namespace {

// Columns summed at once: the partial sums of a path through the tree (at most kMaxTopK) stay in
// the first-level cache: 64 x 64 x 4 bytes = 16 KiB.
constexpr int64_t kColumns = 64;

struct Term {
  uint32_t expert = 0;
  float weight = 0.0f;
  const float* row = nullptr;
};

// Of terms sorted by expert that do not all lie in one half of the smallest aligned power-of-two
// block around them: how many lie in the lower half.
int64_t lower_half(const Term* terms, int64_t count) {
  const uint32_t difference = terms[0].expert ^ terms[count - 1].expert;
  if (difference == 0) return count - 1;
  const uint32_t middle = std::bit_floor(difference);
  int64_t lower = 1;
  while ((terms[lower].expert & middle) == 0) ++lower;
  return lower;
}

// sum[i] = the tree's sum at column first + i.
void add_terms(const Term* terms, int64_t count, int64_t first, int64_t columns, float* sum) {
  if (count == 0) {
    std::fill_n(sum, columns, 0.0f);
    return;
  }
  if (count == 1) {
    for (int64_t i = 0; i < columns; ++i) sum[i] = terms[0].weight * terms[0].row[first + i];
    return;
  }
  const int64_t lower = lower_half(terms, count);
  float upper_sum[kColumns];
  add_terms(terms, lower, first, columns, sum);
  add_terms(terms + lower, count - lower, first, columns, upper_sum);
  for (int64_t i = 0; i < columns; ++i) sum[i] = sum[i] + upper_sum[i];
}

// What stands between the tree's sum and the output, at columns of a token that begin at `offset`
// of the whole tensor.
void finish_columns(const CombineParams& params, float shared_weight, int64_t offset,
                    int64_t columns, float* sum) {
  if (params.shared != nullptr) {
    const float* shared = params.shared + offset;
    for (int64_t i = 0; i < columns; ++i) sum[i] = sum[i] + shared_weight * shared[i];
  }
  for (int64_t i = 0; i < columns; ++i) sum[i] = params.branch_scale * sum[i];
  if (params.residual != nullptr) {
    const float* residual = params.residual + offset;
    for (int64_t i = 0; i < columns; ++i) sum[i] = residual[i] + sum[i];
  }
}

void combine_token(const CpuKernels& kernels, const CombineParams& params, int64_t token) {
  std::array<Term, kMaxTopK> terms;
  int64_t count = 0;
  for (int64_t j = 0; j < params.top_k; ++j) {
    const int64_t choice = token * params.top_k + j;
    if (params.topk_idx[choice] < 0) continue;
    terms[static_cast<size_t>(count++)] = {static_cast<uint32_t>(params.topk_idx[choice]),
                                           params.topk_weights[choice],
                                           params.expert_rows + choice * params.width};
  }
  // Insertion sort: stable, allocates nothing, and there are few.
  for (int64_t j = 1; j < count; ++j) {
    const auto place = terms.begin() + j;
    const auto target =
        std::upper_bound(terms.begin(), place, *place,
                         [](const Term& a, const Term& b) { return a.expert < b.expert; });
    std::rotate(target, place, place + 1);
  }
  const float shared_weight =
      params.shared_gate == nullptr ? 1.0f : kernels.sigmoid(params.shared_gate[token]);
  float sum[kColumns];
  for (int64_t first = 0; first < params.width; first += kColumns) {
    const int64_t columns = std::min(kColumns, params.width - first);
    add_terms(terms.data(), count, first, columns, sum);
    const int64_t offset = token * params.width + first;
    finish_columns(params, shared_weight, offset, columns, sum);
    std::copy_n(sum, columns, params.out + offset);
  }
}

}  // namespace

void combine(OpContext& context, const CombineParams& params) {
  for_row_ranges(context, params.num_tokens, params.width * params.top_k,
                 [&](int64_t begin, int64_t end, int) {
                   for (int64_t token = begin; token < end; ++token) {
                     combine_token(context.kernels, params, token);
                   }
                 });
}

}  // namespace switchyard::cpu
