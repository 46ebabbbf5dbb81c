// A model's dense weights on the device, and the table they are planned, allocated and loaded from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/model_config.h"

namespace switchyard {

/// One dense tensor of the model.
struct DenseSpec {
  std::string name;
  TensorForm form = TensorForm::kVector;
  DType kept_as = DType::kF32;  // the type its values are rounded to
  int64_t rows = 1;
  int64_t cols = 0;
  int64_t heads = 1;  // matrices that it is packed as
  GroupQuantization quantization;
  int64_t device_bytes = 0;  // a multiple of 64

  /// Of each of its matrices.
  WeightSpec weight_spec() const {
    const WeightSpec stored{kept_as, rows / heads, cols, quantization};
    return form == TensorForm::kTransposedHeads
               ? WeightSpec{kept_as, stored.cols, stored.rows, quantization}
               : stored;
  }
};

/// The type in which the model keeps the values of a tensor stored as `stored`: that one, or
/// config.weight_dtype where there is one type for all (see WeightTyping). Throws Error(kInput)
/// naming the tensor if it is no floating-point type.
DType kept_type(const ModelConfig& config, DType stored, const std::string& name);

/// How the model keeps a matrix of this entry: what `asked` says, or if that is off the codes of
/// the checkpoint where it has such and keeps the type they stand for, or a plain type. Throws as
/// kept_type().
struct KeptForm {
  DType dtype = DType::kF32;
  GroupQuantization quantization;
};
KeptForm kept_form(const ModelConfig& config, const TensorEntry& entry,
                   const GroupQuantization& asked, const std::string& name);

/// Every dense tensor the model needs, each once (a tied output matrix is the embedding).
std::vector<DenseSpec> dense_table(const ModelConfig& config, const CheckpointIndex& index,
                                   const Backend& backend);

/// A linear map: y = x w^T + bias.
struct LinearWeights {
  Weight weight;
  TensorView bias;  // fp32 or empty
};

struct NormWeights {
  TensorView gamma;  // [D]
  TensorView beta;   // [D] or empty
};

/// Attention's weights; those that a model has not are empty.
struct AttentionWeights {
  LinearWeights query, key, value, output;
  TensorView query_norm, key_norm;  // gains
  TensorView sinks;                 // [H]
  // Latent attention.
  LinearWeights query_latent;
  LinearWeights latent;                       // [rank + rope_dim, D]
  TensorView query_latent_norm, latent_norm;  // gains
  std::vector<Weight> head_keys;    // [H] of [nope_dim, rank], transposed in the absorbed form
  std::vector<Weight> head_values;  // [H] of [value_dim, rank]
};

/// A feed-forward: up [rows_per_unit F, D], down [D, F].
struct FfnWeights {
  LinearWeights up, down;
};

struct LayerWeights {
  NormWeights attention_norm;
  AttentionWeights attention;
  NormWeights ffn_norm;
  FfnWeights ffn;  // dense layers
  // MoE layers.
  LinearWeights gate;
  Weight gate_inner;          // [E, D]
  TensorView selection_bias;  // [E]
  FfnWeights shared;
  Weight shared_gate;  // [1, D]
};

/// Owner of the dense weights, one block of memory. Contents are undefined until loaded.
class ModelWeights {
 public:
  ModelWeights(const ModelConfig& config, const std::vector<DenseSpec>& table, Backend& backend);

  const std::vector<LayerWeights>& layers() const { return layers_; }
  const Weight& embedding() const { return embedding_; }   // [V, D]
  const LinearWeights& output() const { return output_; }  // [V, D]
  const NormWeights& final_norm() const { return final_norm_; }
  /// [position_offset + max_positions, D] fp32; empty for rotary positions.
  const TensorView& positions() const { return positions_; }

  /// Where a table entry's bytes belong.
  void* address(const DenseSpec& spec) const { return named_.at(spec.name).address; }

 private:
  struct Named {
    void* address = nullptr;
    std::vector<Weight> matrices;
    TensorView vector;
  };

  /// The tensors of a role; empty where the model has none of that name.
  std::vector<Weight> heads(const std::string& name) const;
  Weight matrix(const std::string& name) const;
  TensorView vector(const std::string& name) const;
  NormWeights norm(const std::string& name) const;
  LinearWeights linear(const std::string& name) const;
  AttentionWeights attention(const TensorNames& names, int layer) const;

  DeviceBuffer memory_;
  Tensor sinusoids_;
  std::map<std::string, Named> named_;
  std::vector<LayerWeights> layers_;
  Weight embedding_;
  LinearWeights output_;
  NormWeights final_norm_;
  TensorView positions_;
};

/// Bytes of the table, and of the sinusoidal position table where the model has one.
int64_t dense_bytes(const ModelConfig& config, const std::vector<DenseSpec>& table);

}  // namespace switchyard
