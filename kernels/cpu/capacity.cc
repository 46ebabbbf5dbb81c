#include "kernels/cpu/capacity.h"

#include <algorithm>
#include <bit>
#include <cfloat>
#include <numeric>

#include "kernels/cpu/op_context.h"

namespace switchyard::cpu {
namespace {

// Gives every choice of a batch its slot. `taken` holds num_experts counters, `order` num_rows
// unless rows come in their own order.
void assign_slots(const CapacityParams& params, const CapacityBatch& batch, int32_t* taken,
                  int32_t* order) {
  const int64_t k = params.top_k;
  std::fill_n(taken, params.num_experts, 0);
  const bool is_sorted = params.slot_order == SlotOrder::kProbability;
  if (is_sorted) {
    std::iota(order, order + batch.num_rows, 0);
    const float* first_choices = params.topk_weights + batch.first_row * k;
    // Bits of numbers from 0 up ascend with them, and order NaN too. By row number where they are
    // equal: a stable sort without its buffer.
    std::sort(order, order + batch.num_rows, [=](int32_t a, int32_t b) {
      const auto p = std::bit_cast<uint32_t>(first_choices[a * k]);
      const auto q = std::bit_cast<uint32_t>(first_choices[b * k]);
      return p != q ? p > q : a < b;
    });
  }
  // One counter an expert goes on from choice to choice: second choices come after all first ones.
  for (int64_t j = 0; j < k; ++j) {
    for (int64_t i = 0; i < batch.num_rows; ++i) {
      const int64_t row = batch.first_row + (is_sorted ? order[i] : i);
      const int64_t choice = row * k + j;
      params.slots[choice] = params.mask[row] != 0 ? -1 : taken[params.topk_idx[choice]]++;
    }
  }
}

void weigh_row(const CapacityParams& params, int64_t row, int64_t capacity) {
  const int64_t k = params.top_k;
  float* weights = params.topk_weights + row * k;
  int32_t* experts = params.topk_idx + row * k;
  const int32_t* slots = params.slots + row * k;
  const auto drop = [&] {
    for (int64_t j = 0; j < k; ++j) {
      if (slots[j] < 0 || slots[j] >= capacity) weights[j] = 0.0f;
    }
  };
  if (params.norm_order == NormOrder::kAfterDropping) drop();
  if (params.norm == GateNorm::kChosen) {
    float sum = 0.0f;
    for (int64_t j = 0; j < k; ++j) sum = sum + weights[j];
    if (sum < FLT_EPSILON) sum = FLT_EPSILON;
    for (int64_t j = 0; j < k; ++j) weights[j] = weights[j] / sum;
  }
  if (params.norm_order == NormOrder::kBeforeDropping) drop();
  for (int64_t j = 0; j < k; ++j) {
    if (weights[j] == 0.0f) experts[j] = -1;
  }
}

}  // namespace

void apply_capacity(OpContext& context, const CapacityParams& params,
                    const std::vector<CapacityBatch>& batches) {
  int64_t order_size = 0;
  for (const CapacityBatch& batch : batches) {
    if (params.slot_order == SlotOrder::kRows) break;
    order_size = std::max(order_size, batch.num_rows);
  }
  context.reserve_scratch(params.num_experts + order_size);
  context.pool.parallel_for(static_cast<int64_t>(batches.size()), [&](int64_t item, int thread) {
    const CapacityBatch& batch = batches[static_cast<size_t>(item)];
    auto* taken = reinterpret_cast<int32_t*>(context.scratch(thread));
    assign_slots(params, batch, taken, taken + params.num_experts);
    for (int64_t row = batch.first_row; row < batch.first_row + batch.num_rows; ++row) {
      weigh_row(params, row, batch.capacity);
    }
  });
}

}  // namespace switchyard::cpu
