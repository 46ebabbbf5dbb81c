#include "runtime/expert_cache.h"

#include "kernels/base/error.h"

namespace switchyard {
namespace {

int64_t bias_bytes(int64_t elements) { return align_up(elements * int64_t{sizeof(float)}); }

}  // namespace

int64_t ExpertCache::slot_bytes(const ExpertShape& shape, const Backend& backend) {
  return backend.packed_bytes(shape.up) + bias_bytes(shape.up.rows) +
         backend.packed_bytes(shape.down) + bias_bytes(shape.down.rows);
}

int64_t ExpertCache::total_bytes(const std::vector<ExpertLayer>& layers, const Backend& backend) {
  int64_t bytes = 0;
  for (const ExpertLayer& layer : layers) {
    bytes += layer.num_local_experts * slot_bytes(layer.shape, backend);
  }
  return bytes;
}

ExpertCache::ExpertCache(std::vector<ExpertLayer> layers, Backend& backend)
    : backend_(backend), layers_(std::move(layers)) {
  int64_t offset = 0;
  for (const ExpertLayer& layer : layers_) {
    layer_offsets_.push_back(offset);
    offset += layer.num_local_experts * slot_bytes(layer.shape, backend_);
  }
  memory_ = backend_.allocate(offset);
}

ExpertWeights ExpertCache::slot(int moe_layer, int64_t local_expert) const {
  const ExpertLayer& layer = layers_[static_cast<size_t>(moe_layer)];
  SWITCHYARD_CHECK(local_expert >= 0 && local_expert < layer.num_local_experts);
  const ExpertShape& shape = layer.shape;
  char* next = static_cast<char*>(memory_.data()) + layer_offsets_[static_cast<size_t>(moe_layer)] +
               local_expert * slot_bytes(shape, backend_);
  ExpertWeights weights;
  weights.up = {shape.up, next};
  next += backend_.packed_bytes(shape.up);
  weights.up_bias = {next, DType::kF32, {shape.up.rows}};
  next += bias_bytes(shape.up.rows);
  weights.down = {shape.down, next};
  next += backend_.packed_bytes(shape.down);
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
