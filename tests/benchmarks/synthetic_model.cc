#include "tests/benchmarks/synthetic_model.h"

#include <cmath>
#include <functional>

#include "kernels/base/error.h"
#include "kernels/base/mix_bits.h"
#include "runtime/checkpoint/expected_tensors.h"

namespace switchyard {

ModelConfig moe_15b_config(int num_layers, int64_t num_experts) {
  ModelConfig config;
  config.family = "fairseq";
  config.hidden_size = 768;
  config.num_heads = config.num_kv_heads = 12;
  config.head_dim = 64;
  config.ffn_size = config.expert_ffn_size = 3072;
  config.vocab_size = 51200;
  config.router = {num_experts, 2};
  for (int layer = 0; layer < num_layers; ++layer) {
    config.layers.push_back(layer % 2 == 1 ? FfnKind::kMoe : FfnKind::kDense);
  }
  config.max_positions = 2048;
  config.embedding_scale = std::sqrt(768.0f);
  config.attention_scale = 0.125f;
  config.weight_dtype = DType::kF16;
  const std::string layer = "layers.{layer}.";
  config.names.embedding = config.names.output = "embed";
  config.names.attention_norm = layer + "attention_norm";
  config.names.query = layer + "q";
  config.names.key = layer + "k";
  config.names.value = layer + "v";
  config.names.attention_output = layer + "o";
  config.names.ffn_norm = layer + "ffn_norm";
  config.names.ffn_up = layer + "up";
  config.names.ffn_down = layer + "down";
  config.names.gate = layer + "gate";
  config.names.expert_up = layer + "experts.{expert}.up";
  config.names.expert_down = layer + "experts.{expert}.down";
  config.names.final_norm = "final_norm";
  return config;
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
  const uint64_t seed = mix_bits(std::hash<std::string>{}(name));
  uint16_t* out = static_cast<uint16_t*>(to);
  for (int64_t i = 0; i < count; ++i) {
    const uint64_t element = static_cast<uint64_t>(first + i);
    const uint64_t bits = mix_bits(seed + element / 4) >> (16 * (element % 4));
    // Sign and mantissa are random; exponent 9 stands for 2^-6.
    out[i] = static_cast<uint16_t>((bits & 0x83FFu) | (9u << 10));
  }
}

}  // namespace switchyard
