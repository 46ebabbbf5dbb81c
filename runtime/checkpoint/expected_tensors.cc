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
    add(names.embedding + ".weight", {config_.vocab_size, width});
    if (config_.position_kind == PositionKind::kLearned) {
      add(names.positions + ".weight", {config_.max_positions + config_.position_offset, width});
    }
    for (int layer = 0; layer < config_.num_layers(); ++layer) add_layer(layer);
    if (config_.final_norm == FinalNorm::kApplied) add_norm(names.final_norm, 0);
    if (names.output != names.embedding) {
      add(names.output + ".weight", {config_.vocab_size, width});
    }
  }

 private:
  void add(const std::string& name, std::vector<int64_t> shape) {
    visit_({name, std::move(shape)});
  }
  void add_linear(const std::string& name, int64_t outputs, int64_t inputs) {
    add(name + ".weight", {outputs, inputs});
    add(name + ".bias", {outputs});
  }
  void add_norm(const std::string& name_template, int layer) {
    const std::string name = tensor_name(name_template, layer);
    add(name + ".weight", {config_.hidden_size});
    add(name + ".bias", {config_.hidden_size});
  }

  void add_layer(int layer) {
    const TensorNames& names = config_.names;
    const int64_t width = config_.hidden_size;
    const int64_t query_width = config_.num_heads * config_.head_dim;
    const int64_t key_width = config_.num_kv_heads * config_.head_dim;
    add_norm(names.attention_norm, layer);
    add_linear(tensor_name(names.query, layer), query_width, width);
    add_linear(tensor_name(names.key, layer), key_width, width);
    add_linear(tensor_name(names.value, layer), key_width, width);
    add_linear(tensor_name(names.attention_output, layer), width, query_width);
    add_norm(names.ffn_norm, layer);
    if (config_.layers[static_cast<size_t>(layer)] == FfnKind::kDense) {
      add_linear(tensor_name(names.ffn_up, layer), config_.ffn_size, width);
      add_linear(tensor_name(names.ffn_down, layer), width, config_.ffn_size);
      return;
    }
    add(tensor_name(names.gate, layer) + ".weight", {config_.router.num_experts, width});
    for (int64_t expert = 0; expert < config_.router.num_experts; ++expert) {
      add_linear(tensor_name(names.expert_up, layer, expert), config_.expert_ffn_size, width);
      add_linear(tensor_name(names.expert_down, layer, expert), width, config_.expert_ffn_size);
    }
  }

  const ModelConfig& config_;
  const Visit& visit_;
};

}  // namespace

void visit_expected_tensors(const ModelConfig& config, const Visit& visit) {
  TensorWalk(config, visit).run();
}

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> tensors;
  visit_expected_tensors(config, [&](const ExpectedTensor& tensor) { tensors.push_back(tensor); });
  return tensors;
}

}  // namespace switchyard
