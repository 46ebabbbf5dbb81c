#include "runtime/bench/synthetic_model.h"

#include "runtime/checkpoint/expected_tensors.h"

namespace switchyard {

Checkpoint synthetic_checkpoint(const ModelConfig& config, DType dtype) {
  Checkpoint checkpoint;
  checkpoint.directory = "synthetic";
  checkpoint.config = config;
  checkpoint.config.weight_dtype = dtype;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    TensorEntry& entry = checkpoint.index.tensors[tensor.name];
    entry.dtype = dtype;
    entry.shape = tensor.shape;
  }
  return checkpoint;
}

void SyntheticSource::read(const std::string& name, const TensorEntry& entry, int64_t first,
                           int64_t count, void* to) {
  weights_.fill(synthetic_tensor(config_, name, entry.shape, entry.dtype), first, count, to);
}

}  // namespace switchyard
