#include "runtime/expert_cache.h"

#include "kernels/base/error.h"

namespace switchyard {
namespace {

int64_t bias_bytes(int64_t elements) { return align_up(elements * int64_t{sizeof(float)}); }

}  // namespace

int64_t ExpertCache::slot_bytes(const ExpertShape& shape, const Backend& backend) {
  const int64_t biases =
      shape.bias == HasBias::kNo ? 0 : bias_bytes(shape.up.rows) + bias_bytes(shape.down.rows);
  return backend.packed_bytes(shape.up) + backend.packed_bytes(shape.down) + biases;
}

int64_t ExpertCache::total_bytes(const std::vector<ExpertLayer>& layers, const Backend& backend) {
  int64_t bytes = 0;
  for (const ExpertLayer& layer : layers) {
    for (const ExpertShape& shape : layer.experts) bytes += slot_bytes(shape, backend);
  }
  return bytes;
}

ExpertCache::ExpertCache(std::vector<ExpertLayer> layers, Backend& backend)
    : backend_(backend), layers_(std::move(layers)) {
  int64_t offset = 0;
  for (const ExpertLayer& layer : layers_) {
    std::vector<int64_t>& offsets = offsets_.emplace_back();
    for (const ExpertShape& shape : layer.experts) {
      offsets.push_back(offset);
      offset += slot_bytes(shape, backend_);
    }
  }
  memory_ = backend_.allocate(offset);
}

ExpertWeights ExpertCache::slot(int moe_layer, int64_t local_expert) const {
  const ExpertLayer& layer = layers_[static_cast<size_t>(moe_layer)];
  SWITCHYARD_CHECK(local_expert >= 0 && local_expert < layer.num_local_experts());
  const auto local = static_cast<size_t>(local_expert);
  const ExpertShape& shape = layer.experts[local];
  char* next = static_cast<char*>(memory_.data()) + offsets_[static_cast<size_t>(moe_layer)][local];
  ExpertWeights weights;
  weights.up = {shape.up, next};
  next += backend_.packed_bytes(shape.up);
  weights.down = {shape.down, next};
  next += backend_.packed_bytes(shape.down);
  if (shape.bias == HasBias::kNo) return weights;
  weights.up_bias = {next, DType::kF32, {shape.up.rows}};
  next += bias_bytes(shape.up.rows);
  weights.down_bias = {next, DType::kF32, {shape.down.rows}};
  return weights;
}

std::vector<ExpertWeights> ExpertCache::acquire(int moe_layer,
                                                std::span<const int64_t> local_experts) const {
  std::vector<ExpertWeights> table;
  for (const int64_t expert : local_experts) table.push_back(slot(moe_layer, expert));
  return table;
}

}  // namespace switchyard
