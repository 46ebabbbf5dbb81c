#include "runtime/expert_slot.h"

namespace switchyard {
namespace {

int64_t bias_bytes(int64_t elements) { return align_up(elements * int64_t{sizeof(float)}); }

}  // namespace

int64_t expert_slot_bytes(const ExpertShape& shape, const Backend& backend) {
  const int64_t biases =
      shape.bias == HasBias::kNo ? 0 : bias_bytes(shape.up.rows) + bias_bytes(shape.down.rows);
  return backend.packed_bytes(shape.up) + backend.packed_bytes(shape.down) + biases;
}

ExpertWeights expert_slot(const ExpertShape& shape, const Backend& backend, void* base) {
  char* next = static_cast<char*>(base);
  ExpertWeights weights;
  weights.up = {shape.up, next};
  next += backend.packed_bytes(shape.up);
  weights.down = {shape.down, next};
  next += backend.packed_bytes(shape.down);
  if (shape.bias == HasBias::kNo) return weights;
  weights.up_bias = {next, DType::kF32, {shape.up.rows}};
  next += bias_bytes(shape.up.rows);
  weights.down_bias = {next, DType::kF32, {shape.down.rows}};
  return weights;
}

}  // namespace switchyard
