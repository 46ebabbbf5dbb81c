#include "runtime/model_weights.h"

#include "kernels/base/error.h"
#include "runtime/checkpoint/given_codes.h"

namespace switchyard {
namespace {

int64_t position_rows(const ModelConfig& config) {
  return config.position_offset + config.max_positions;
}

DenseSpec make_spec(const ModelConfig& config, const CheckpointIndex& index, const Backend& backend,
                    const ExpectedTensor& tensor) {
  DenseSpec spec;
  spec.name = tensor.name;
  spec.form = tensor.form;
  const TensorEntry& entry = index.at(tensor.name);
  spec.kept_as = kept_type(config, entry.dtype, tensor.name);
  spec.rows = tensor.shape.size() == 2 ? tensor.shape[0] : 1;
  spec.cols = tensor.shape.back();
  spec.heads = tensor.heads;
  spec.quantization = quantization_of(config.quantization, tensor.weight_class);
  // Rows of the embedding are read as numbers, and heads' matrices are cut and turned.
  if (tensor.form == TensorForm::kMatrix && tensor.name != config.names.embedding + ".weight") {
    spec.quantization = kept_form(config, entry, spec.quantization, tensor.name).quantization;
  }
  spec.device_bytes = spec.form == TensorForm::kVector
                          ? align_up(spec.rows * spec.cols * int64_t{sizeof(float)})
                          : spec.heads * align_up(backend.packed_bytes(spec.weight_spec()));
  return spec;
}

}  // namespace

DType kept_type(const ModelConfig& config, DType stored, const std::string& name) {
  if (stored != DType::kF32 && stored != DType::kF16 && stored != DType::kBF16) {
    fail_input("tensor ", name, " is stored as ", name_of(stored),
               "; weights are expected in fp32, fp16 or bf16");
  }
  return config.weight_typing == WeightTyping::kAsStored ? stored : config.weight_dtype.value();
}

KeptForm kept_form(const ModelConfig& config, const TensorEntry& entry,
                   const GroupQuantization& asked, const std::string& name) {
  const DType kept = kept_type(config, entry.dtype, name);
  if (asked.is_on() || kept != entry.dtype) return {kept, asked};
  return {kept, given_codes(entry)};
}

std::vector<DenseSpec> dense_table(const ModelConfig& config, const CheckpointIndex& index,
                                   const Backend& backend) {
  std::vector<DenseSpec> table;
  visit_expected_tensors(config, [&](const ExpectedTensor& tensor) {
    if (tensor.owner == TensorOwner::kExpert) return;
    table.push_back(make_spec(config, index, backend, tensor));
  });
  return table;
}

int64_t dense_bytes(const ModelConfig& config, const std::vector<DenseSpec>& table) {
  int64_t bytes = 0;
  for (const DenseSpec& spec : table) bytes += spec.device_bytes;
  if (config.position_kind == PositionKind::kSinusoidal) {
    bytes += position_rows(config) * config.hidden_size * int64_t{sizeof(float)};
  }
  return bytes;
}

ModelWeights::ModelWeights(const ModelConfig& config, const std::vector<DenseSpec>& table,
                           Backend& backend) {
  int64_t bytes = 0;
  for (const DenseSpec& spec : table) bytes += spec.device_bytes;
  memory_ = backend.allocate(bytes);
  char* next = static_cast<char*>(memory_.data());
  for (const DenseSpec& spec : table) {
    Named& named = named_[spec.name];
    named.address = next;
    if (spec.form == TensorForm::kVector) {
      const Shape shape = spec.rows == 1 ? Shape{spec.cols} : Shape{spec.rows, spec.cols};
      named.vector = {next, DType::kF32, shape};
    } else {
      const int64_t head_bytes = spec.device_bytes / spec.heads;
      for (int64_t head = 0; head < spec.heads; ++head) {
        named.matrices.push_back({spec.weight_spec(), next + head * head_bytes});
      }
    }
    next += spec.device_bytes;
  }
  const TensorNames& names = config.names;
  embedding_ = matrix(names.embedding + ".weight");
  output_ = {matrix(names.output + ".weight"), vector(names.output_bias)};
  final_norm_ = norm(names.final_norm);
  positions_ = vector(names.positions + ".weight");
  if (config.position_kind == PositionKind::kSinusoidal) {
    sinusoids_ = backend.allocate_tensor(DType::kF32, {position_rows(config), config.hidden_size});
    positions_ = sinusoids_.view();
  }
  for (int i = 0; i < config.num_layers(); ++i) {
    const auto name = [i](const std::string& name_template) {
      return tensor_name(name_template, i);
    };
    LayerWeights& layer = layers_.emplace_back();
    layer.attention_norm = norm(name(names.attention_norm));
    layer.attention = attention(names, i);
    layer.ffn_norm = norm(name(names.ffn_norm));
    layer.ffn = {linear(name(names.ffn_up)), linear(name(names.ffn_down))};
    layer.gate = linear(name(names.gate));
    layer.gate_inner = matrix(name(names.gate_inner) + ".weight");
    layer.selection_bias = vector(name(names.selection_bias));
    layer.shared = {linear(name(names.shared_up)), linear(name(names.shared_down))};
    layer.shared_gate = matrix(name(names.shared_gate) + ".weight");
  }
}

AttentionWeights ModelWeights::attention(const TensorNames& names, int layer) const {
  const auto name = [layer](const std::string& name_template) {
    return tensor_name(name_template, layer);
  };
  AttentionWeights weights;
  weights.query = linear(name(names.query));
  weights.key = linear(name(names.key));
  weights.value = linear(name(names.value));
  weights.output = linear(name(names.attention_output));
  weights.query_norm = vector(name(names.query_norm) + ".weight");
  weights.key_norm = vector(name(names.key_norm) + ".weight");
  weights.sinks = vector(name(names.sinks));
  weights.query_latent = linear(name(names.query_latent));
  weights.latent = linear(name(names.latent));
  weights.query_latent_norm = vector(name(names.query_latent_norm) + ".weight");
  weights.latent_norm = vector(name(names.latent_norm) + ".weight");
  weights.head_keys = heads(name(names.head_keys) + ".weight");
  weights.head_values = heads(name(names.head_values) + ".weight");
  return weights;
}

std::vector<Weight> ModelWeights::heads(const std::string& name) const {
  const auto found = named_.find(name);
  return found == named_.end() ? std::vector<Weight>() : found->second.matrices;
}

Weight ModelWeights::matrix(const std::string& name) const {
  const std::vector<Weight> matrices = heads(name);
  return matrices.empty() ? Weight() : matrices.front();
}

TensorView ModelWeights::vector(const std::string& name) const {
  const auto found = named_.find(name);
  return found == named_.end() ? TensorView() : found->second.vector;
}

NormWeights ModelWeights::norm(const std::string& name) const {
  return {vector(name + ".weight"), vector(name + ".bias")};
}

LinearWeights ModelWeights::linear(const std::string& name) const {
  return {matrix(name + ".weight"), vector(name + ".bias")};
}

}  // namespace switchyard
