#include "parallel/padded_exchange.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

int64_t most_instances(const LayerPlacement& placement) {
  int64_t most = 0;
  for (int rank = 0; rank < placement.num_ranks(); ++rank) {
    most = std::max(most, placement.num_local_experts(rank));
  }
  return most;
}

/// Row offsets of a rank's experts in all layers.
int64_t num_offsets(const std::vector<LayerPlacement>& placements, int rank) {
  int64_t offsets = 0;
  for (const LayerPlacement& placement : placements) {
    offsets += placement.num_local_experts(rank) + 1;
  }
  return offsets;
}

}  // namespace

int64_t PaddedExchange::table_bytes(const std::vector<LayerPlacement>& placements, int rank) {
  int64_t numbers = num_offsets(placements, rank);
  for (const LayerPlacement& placement : placements) {
    numbers += placement.num_experts() + placement.num_ranks() + 1;
  }
  return numbers * size_of(DType::kI32);
}

int64_t PaddedExchange::rows_needed(int64_t num_ranks, int64_t most_instances, int64_t hidden_size,
                                    int64_t copies) {
  return num_ranks * (PaddedSlots::header_rows_for(most_instances, hidden_size) + copies);
}

PaddedExchange::PaddedExchange(Backend& backend, Communicator& experts, Stream& compute,
                               Stream& exchange, GraphRecorder& recorder,
                               const PaddedBuffers& buffers,
                               const std::vector<LayerPlacement>& placements)
    : backend_(backend),
      experts_(experts),
      compute_(compute),
      exchange_(exchange),
      recorder_(recorder),
      buffers_(buffers),
      row_offsets_(
          backend.allocate_tensor(DType::kI32, {num_offsets(placements, experts.rank())})) {
  std::vector<std::vector<int32_t>> uploads;  // until they are copied
  const auto upload = [&](std::vector<int32_t> values) {
    Tensor tensor = backend_.allocate_tensor(DType::kI32, {static_cast<int64_t>(values.size())});
    uploads.push_back(std::move(values));
    backend_.copy_to_device(compute_, uploads.back().data(), tensor.view());
    return tensor;
  };
  int64_t first_offset = 0;
  for (const LayerPlacement& placement : placements) {
    SWITCHYARD_CHECK(placement.num_instances() == placement.num_experts(),
                     "experts on several ranks");
    std::vector<int32_t> instances(static_cast<size_t>(placement.num_experts()));
    for (int64_t instance = 0; instance < placement.num_instances(); ++instance) {
      instances[static_cast<size_t>(placement.expert_of(instance))] =
          static_cast<int32_t>(instance);
    }
    std::vector<int32_t> first;
    for (int rank = 0; rank <= placement.num_ranks(); ++rank) {
      first.push_back(static_cast<int32_t>(placement.first_instance(rank)));
    }
    const int64_t num_local = placement.num_local_experts(experts_.rank());
    layers_.push_back({num_local, first_offset, most_instances(placement),
                       upload(std::move(instances)), upload(std::move(first))});
    first_offset += num_local + 1;
  }
  backend_.record(compute_).synchronize();
}

bool PaddedExchange::fits(const PaddedStep& step) const {
  const LayerTables& layer = layers_[static_cast<size_t>(step.moe_layer)];
  return rows_needed(num_ranks(), layer.most_instances, width(), step.most_rows * step.top_k) <=
         buffers_.send.shape[0];
}

int64_t PaddedExchange::bytes_sent(const PaddedStep& step) const {
  return most_grouped_rows(step) * width() * size_of(DType::kF32);
}

TensorView PaddedExchange::row_offsets(int moe_layer) const {
  const LayerTables& layer = layers_[static_cast<size_t>(moe_layer)];
  return row_offsets_.view().rows(layer.first_offset, layer.num_local + 1);
}

PaddedSlots PaddedExchange::slots(const TensorView& rows, const PaddedStep& step) const {
  const LayerTables& layer = layers_[static_cast<size_t>(step.moe_layer)];
  return {rows.rows(0, rows_needed(num_ranks(), layer.most_instances, width(),
                                   step.most_rows * step.top_k)),
          num_ranks(), PaddedSlots::header_rows_for(layer.most_instances, width())};
}

void PaddedExchange::exchange(const PaddedSlots& from, const PaddedSlots& to,
                              const CollectiveLabel& label) {
  if (num_ranks() == 1) return;
  if (!recorder_.is_recording()) return move(from, to, label);
  recorder_.interrupt([this, from, to, label](int64_t step) {
    CollectiveLabel of_step = label;
    of_step.step = step;
    move(from, to, of_step);
  });
}

void PaddedExchange::move(const PaddedSlots& from, const PaddedSlots& to,
                          const CollectiveLabel& label) {
  const std::vector<int64_t> rows(static_cast<size_t>(num_ranks()), from.slot_rows());
  backend_.wait(exchange_, backend_.record(compute_));
  experts_.all_to_all_v(
      exchange_, {from.rows.data, to.rows.data, width() * size_of(DType::kF32), rows, rows}, label);
  backend_.wait(compute_, backend_.record(exchange_));
}

void PaddedExchange::dispatch(const PaddedStep& step, const TensorView& topk_idx,
                              const TensorView& x, const TensorView& grouped,
                              const CollectiveLabel& label) {
  SWITCHYARD_CHECK(fits(step), step.most_rows, " rows do not fit into the slots");
  const LayerTables& layer = layers_[static_cast<size_t>(step.moe_layer)];
  const PaddedSlots to = sent(step);
  const PaddedSlots arrived = received(step);
  num_copies_ = topk_idx.shape.num_elements();
  const TensorView places = buffers_.places.rows(0, num_copies_);
  backend_.place_copies(compute_, {topk_idx, layer.instance_of_expert.view(),
                                   layer.first_instance.view(), to, places});
  backend_.scatter_rows(compute_, {x, places, to.rows, step.top_k});
  exchange(to, arrived, label);
  const TensorView from = buffers_.grouped_from.rows(0, arrived.num_payload_rows());
  backend_.group_arrivals(compute_, {arrived, row_offsets(step.moe_layer), from});
  backend_.gather_rows(compute_, {arrived.rows, from, grouped.rows(0, from.shape[0])});
}

void PaddedExchange::combine(const PaddedStep& step, const TensorView& grouped,
                             const TensorView& expert_rows, const CollectiveLabel& label) {
  const PaddedSlots to = sent(step);
  const PaddedSlots arrived = received(step);
  const TensorView from = buffers_.grouped_from.rows(0, arrived.num_payload_rows());
  backend_.scatter_rows(compute_, {grouped.rows(0, from.shape[0]), from, arrived.rows});
  exchange(arrived, to, label);
  backend_.gather_rows(
      compute_, {to.rows, buffers_.places.rows(0, num_copies_), expert_rows.rows(0, num_copies_)});
}

std::optional<std::string> padding_obstacle(const PaddingConditions& conditions) {
  if (!conditions.is_direct) return "rows travel by way of gateways (--exchange two-level)";
  if (!conditions.is_resident) return "a rank pages its experts, and needs the counts to load them";
  if (conditions.has_capacity) return "experts have a capacity";
  if (conditions.has_copies) return "the placement has experts on several ranks";
  if (conditions.is_uneven) return "experts of one layer differ in size";
  if (!conditions.counts_on_device) return "--numerics fast leaves products to a library";
  return std::nullopt;
}

}  // namespace switchyard
