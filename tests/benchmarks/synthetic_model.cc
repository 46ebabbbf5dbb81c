#include "tests/benchmarks/synthetic_model.h"

#include "kernels/base/error.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/model_preset.h"

namespace switchyard {

ModelConfig moe_15b_config(int num_layers, int64_t num_experts) {
  return load_preset("moe_15b", {.layers = num_layers, .experts = num_experts, .rank_files = 1})
      .config;
}

Checkpoint synthetic_checkpoint(const ModelConfig& config) {
  Checkpoint checkpoint;
  checkpoint.directory = "synthetic";
  checkpoint.config = config;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    TensorEntry& entry = checkpoint.index.tensors[tensor.name];
    entry.dtype = DType::kF16;
    entry.shape = tensor.shape;
  }
  return checkpoint;
}

void SyntheticSource::read(const std::string& name, const TensorEntry& entry, int64_t first,
                           int64_t count, void* to) {
  SWITCHYARD_CHECK(entry.dtype == DType::kF16);
  weights_.fill(synthetic_tensor(config_, name, entry.shape, DType::kF16), first, count, to);
}

}  // namespace switchyard
