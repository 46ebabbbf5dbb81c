#include "runtime/checkpoint/expected_tensors.h"

namespace switchyard {
namespace {

using Visit = std::function<void(const ExpectedTensor&)>;

class TensorWalk {
 public:
  TensorWalk(const ModelConfig& config, const Visit& visit) : config_(config), visit_(visit) {}

  void run() {
    const int64_t width = config_.hidden_size;
    const TensorNames& names = config_.names;
    add_matrix(names.embedding + ".weight", config_.vocab_size, width);
    if (config_.position_kind == PositionKind::kLearned) {
      visit_({names.positions + ".weight",
              {config_.max_positions + config_.position_offset, width},
              TensorForm::kVector});
    }
    for (int layer = 0; layer < config_.num_layers(); ++layer) add_layer(layer);
    if (config_.final_norm == FinalNorm::kApplied) add_norm(names.final_norm, width);
    if (names.output != names.embedding) {
      add_matrix(names.output + ".weight", config_.vocab_size, width);
    }
    if (config_.output_bias == HasBias::kYes) {
      add_vector(names.output_bias, config_.vocab_size);
    }
  }

 private:
  void add_matrix(const std::string& name, int64_t outputs, int64_t inputs) {
    visit_({name, {outputs, inputs}, TensorForm::kMatrix, owner_, 1, class_});
  }
  void add_vector(const std::string& name, int64_t size) {
    visit_({name, {size}, TensorForm::kVector, owner_});
  }
  void add_linear(const std::string& name, int64_t outputs, int64_t inputs, HasBias bias) {
    add_matrix(name + ".weight", outputs, inputs);
    if (bias == HasBias::kYes) add_vector(name + ".bias", outputs);
  }
  void add_norm(const std::string& name, int64_t width) {
    add_vector(name + ".weight", width);
    if (config_.norm == NormKind::kLayerNorm) add_vector(name + ".bias", width);
  }

  void add_layer(int layer);
  void add_attention(int layer);
  void add_latent_attention(int layer);
  void add_head_norms(int layer);
  void add_experts(int layer);
  void add_feed_forward(const std::string& up, const std::string& down, int64_t size, HasBias bias);

  const ModelConfig& config_;
  const Visit& visit_;
  TensorOwner owner_ = TensorOwner::kEveryRank;
  WeightClass class_ = WeightClass::kOther;  // of matrices
  int moe_layer_ = 0;
};

void TensorWalk::add_layer(int layer) {
  const TensorNames& names = config_.names;
  add_norm(tensor_name(names.attention_norm, layer), config_.hidden_size);
  class_ = WeightClass::kAttention;
  if (config_.attention == AttentionKind::kLatent) {
    add_latent_attention(layer);
  } else {
    add_attention(layer);
  }
  class_ = WeightClass::kOther;
  add_norm(tensor_name(names.ffn_norm, layer), config_.hidden_size);
  if (config_.is_moe(layer)) {
    add_experts(layer);
  } else {
    add_feed_forward(tensor_name(names.ffn_up, layer), tensor_name(names.ffn_down, layer),
                     config_.ffn_size, config_.ffn_bias);
  }
}

void TensorWalk::add_attention(int layer) {
  const TensorNames& names = config_.names;
  const AttentionBiases& biases = config_.biases;
  const int64_t width = config_.hidden_size;
  add_linear(tensor_name(names.query, layer), config_.num_heads * config_.head_dim, width,
             biases.query);
  add_linear(tensor_name(names.key, layer), config_.num_kv_heads * config_.head_dim, width,
             biases.key);
  add_linear(tensor_name(names.value, layer), config_.num_kv_heads * config_.value_dim, width,
             biases.value);
  add_linear(tensor_name(names.attention_output, layer), width,
             config_.num_heads * config_.value_dim, biases.output);
  add_head_norms(layer);
  if (config_.has_sinks) add_vector(tensor_name(names.sinks, layer), config_.num_heads);
}

void TensorWalk::add_head_norms(int layer) {
  if (config_.head_norm == HeadNorm::kNone) return;
  const bool is_per_head = config_.head_norm == HeadNorm::kPerHead;
  const int64_t head = config_.head_dim;
  add_vector(tensor_name(config_.names.query_norm, layer) + ".weight",
             is_per_head ? head : config_.num_heads * head);
  add_vector(tensor_name(config_.names.key_norm, layer) + ".weight",
             is_per_head ? head : config_.num_kv_heads * head);
}

void TensorWalk::add_latent_attention(int layer) {
  const TensorNames& names = config_.names;
  const AttentionBiases& biases = config_.biases;
  const LatentSizes& latent = config_.latent;
  const int64_t width = config_.hidden_size;
  const int64_t heads = config_.num_heads;
  int64_t query_inputs = width;
  if (latent.query_rank > 0) {
    add_linear(tensor_name(names.query_latent, layer), latent.query_rank, width,
               biases.query_latent);
    add_vector(tensor_name(names.query_latent_norm, layer) + ".weight", latent.query_rank);
    query_inputs = latent.query_rank;
  }
  add_linear(tensor_name(names.query, layer), heads * config_.head_dim, query_inputs, biases.query);
  add_linear(tensor_name(names.latent, layer), latent.rank + latent.rope_dim, width, biases.latent);
  add_vector(tensor_name(names.latent_norm, layer) + ".weight", latent.rank);
  const bool is_absorbed = config_.attention_form == AttentionForm::kAbsorbed;
  visit_({tensor_name(names.head_keys, layer) + ".weight",
          {heads * latent.nope_dim, latent.rank},
          is_absorbed ? TensorForm::kTransposedHeads : TensorForm::kHeads,
          TensorOwner::kEveryRank,
          heads});
  visit_({tensor_name(names.head_values, layer) + ".weight",
          {heads * config_.value_dim, latent.rank},
          TensorForm::kHeads,
          TensorOwner::kEveryRank,
          heads});
  add_linear(tensor_name(names.attention_output, layer), width, heads * config_.value_dim,
             biases.output);
}

void TensorWalk::add_feed_forward(const std::string& up, const std::string& down, int64_t size,
                                  HasBias bias) {
  add_linear(up, size * config_.ffn_form.rows_per_unit(), config_.hidden_size, bias);
  add_linear(down, config_.hidden_size, size, bias);
}

void TensorWalk::add_experts(int layer) {
  const TensorNames& names = config_.names;
  const int64_t width = config_.hidden_size;
  const int64_t experts = config_.router_of(moe_layer_).num_experts;
  const bool has_inner = config_.gate_network == GateNetwork::kTanhMlp;
  if (has_inner) add_matrix(tensor_name(names.gate_inner, layer) + ".weight", experts, width);
  add_linear(tensor_name(names.gate, layer), experts, has_inner ? experts : width,
             config_.gate_bias);
  if (config_.has_selection_bias) add_vector(tensor_name(names.selection_bias, layer), experts);
  if (config_.shared_ffn_size > 0) {
    add_feed_forward(tensor_name(names.shared_up, layer), tensor_name(names.shared_down, layer),
                     config_.shared_ffn_size, config_.ffn_bias);
    if (config_.shared_gate == SharedExpertGate::kSigmoid) {
      add_matrix(tensor_name(names.shared_gate, layer) + ".weight", 1, width);
    }
  }
  owner_ = TensorOwner::kExpert;
  class_ = WeightClass::kExpert;
  for (int64_t expert = 0; expert < experts; ++expert) {
    add_feed_forward(tensor_name(names.expert_up, layer, expert),
                     tensor_name(names.expert_down, layer, expert),
                     config_.expert_size(moe_layer_, expert), config_.expert_bias);
  }
  owner_ = TensorOwner::kEveryRank;
  class_ = WeightClass::kOther;
  ++moe_layer_;
}

}  // namespace

GroupQuantization quantization_of(const WeightQuantization& quantization,
                                  WeightClass weight_class) {
  switch (weight_class) {
    case WeightClass::kExpert:
      return quantization.experts;
    case WeightClass::kAttention:
      return quantization.attention;
    case WeightClass::kOther:
      break;
  }
  return {};
}

void visit_expected_tensors(const ModelConfig& config, const Visit& visit) {
  TensorWalk(config, visit).run();
}

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> tensors;
  visit_expected_tensors(config, [&](const ExpectedTensor& tensor) { tensors.push_back(tensor); });
  return tensors;
}

}  // namespace switchyard
