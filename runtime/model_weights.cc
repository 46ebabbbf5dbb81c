#include "runtime/model_weights.h"

#include "kernels/base/error.h"

namespace switchyard {
namespace {

int64_t position_rows(const ModelConfig& config) {
  return config.position_offset + config.max_positions;
}

/// Collects the table, looking shapes and types up in the index.
class TableBuilder {
 public:
  TableBuilder(const ModelConfig& config, const CheckpointIndex& index, const Backend& backend)
      : config_(config), index_(index), backend_(backend) {}

  void matrix(const std::string& name) {
    for (const DenseSpec& spec : table_) {
      if (spec.name == name) return;
    }
    const TensorEntry& entry = index_.at(name);
    SWITCHYARD_CHECK(entry.shape.size() == 2, name);
    DenseSpec spec = make(name, entry, DenseForm::kMatrix, entry.shape[0], entry.shape[1]);
    spec.device_bytes = align_up(backend_.packed_bytes(spec.weight_spec()));
    table_.push_back(spec);
  }

  void vector(const std::string& name) {
    const TensorEntry& entry = index_.at(name);
    const int64_t cols = entry.shape.empty() ? 1 : entry.shape.back();
    DenseSpec spec =
        make(name, entry, DenseForm::kVector, cols == 0 ? 0 : entry.num_elements() / cols, cols);
    spec.device_bytes = align_up(spec.rows * spec.cols * int64_t{sizeof(float)});
    table_.push_back(spec);
  }

  void norm(const std::string& name) {
    vector(name + ".weight");
    vector(name + ".bias");
  }

  void linear(const std::string& name) {
    matrix(name + ".weight");
    vector(name + ".bias");
  }

  std::vector<DenseSpec> take() { return std::move(table_); }

 private:
  DenseSpec make(const std::string& name, const TensorEntry& entry, DenseForm form, int64_t rows,
                 int64_t cols) const {
    return {name, form, kept_type(config_, entry.dtype, name), rows, cols, 0};
  }

  const ModelConfig& config_;
  const CheckpointIndex& index_;
  const Backend& backend_;
  std::vector<DenseSpec> table_;
};

}  // namespace

DType kept_type(const ModelConfig& config, DType stored, const std::string& name) {
  if (stored != DType::kF32 && stored != DType::kF16 && stored != DType::kBF16) {
    fail_input("tensor ", name, " is stored as ", name_of(stored),
               "; weights are expected in fp32, fp16 or bf16");
  }
  return config.weight_dtype;
}

std::vector<DenseSpec> dense_table(const ModelConfig& config, const CheckpointIndex& index,
                                   const Backend& backend) {
  TableBuilder builder(config, index, backend);
  const TensorNames& names = config.names;
  builder.matrix(names.embedding + ".weight");
  if (config.position_kind == PositionKind::kLearned) builder.vector(names.positions + ".weight");
  for (int layer = 0; layer < config.num_layers(); ++layer) {
    builder.norm(tensor_name(names.attention_norm, layer));
    for (const std::string* name :
         {&names.query, &names.key, &names.value, &names.attention_output}) {
      builder.linear(tensor_name(*name, layer));
    }
    builder.norm(tensor_name(names.ffn_norm, layer));
    if (config.layers[static_cast<size_t>(layer)] == FfnKind::kMoe) {
      builder.matrix(tensor_name(names.gate, layer) + ".weight");
    } else {
      builder.linear(tensor_name(names.ffn_up, layer));
      builder.linear(tensor_name(names.ffn_down, layer));
    }
  }
  if (config.final_norm == FinalNorm::kApplied) builder.norm(names.final_norm);
  builder.matrix(names.output + ".weight");
  return builder.take();
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
    places_[spec.name] = next;
    Named& named = named_[spec.name];
    if (spec.form == DenseForm::kMatrix) {
      named.matrix = {spec.weight_spec(), next};
    } else {
      const Shape shape = spec.rows == 1 ? Shape{spec.cols} : Shape{spec.rows, spec.cols};
      named.vector = {next, DType::kF32, shape};
    }
    next += spec.device_bytes;
  }
  const TensorNames& names = config.names;
  embedding_ = named_.at(names.embedding + ".weight").matrix;
  output_ = named_.at(names.output + ".weight").matrix;
  if (config.final_norm == FinalNorm::kApplied) final_norm_ = norm(names.final_norm);
  if (config.position_kind == PositionKind::kLearned) {
    positions_ = named_.at(names.positions + ".weight").vector;
  } else {
    sinusoids_ = backend.allocate_tensor(DType::kF32, {position_rows(config), config.hidden_size});
    positions_ = sinusoids_.view();
  }
  for (int i = 0; i < config.num_layers(); ++i) {
    LayerWeights& layer = layers_.emplace_back();
    layer.attention_norm = norm(tensor_name(names.attention_norm, i));
    layer.query = linear(tensor_name(names.query, i));
    layer.key = linear(tensor_name(names.key, i));
    layer.value = linear(tensor_name(names.value, i));
    layer.attention_output = linear(tensor_name(names.attention_output, i));
    layer.ffn_norm = norm(tensor_name(names.ffn_norm, i));
    if (config.layers[static_cast<size_t>(i)] == FfnKind::kMoe) {
      layer.gate = named_.at(tensor_name(names.gate, i) + ".weight").matrix;
    } else {
      layer.ffn_up = linear(tensor_name(names.ffn_up, i));
      layer.ffn_down = linear(tensor_name(names.ffn_down, i));
    }
  }
}

NormWeights ModelWeights::norm(const std::string& name) const {
  return {named_.at(name + ".weight").vector, named_.at(name + ".bias").vector};
}

LinearWeights ModelWeights::linear(const std::string& name) const {
  return {named_.at(name + ".weight").matrix, named_.at(name + ".bias").vector};
}

}  // namespace switchyard
