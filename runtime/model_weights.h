// A model's dense weights on the device, and the table they are planned, allocated and loaded from.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/model_config.h"

namespace switchyard {

/// How a tensor of the checkpoint stands on the device.
enum class DenseForm : uint8_t {
  kMatrix,  ///< packed, in the type it is kept in
  kVector,  ///< fp32, row-major (norms, biases, position tables)
};

/// One dense tensor of the model.
struct DenseSpec {
  std::string name;
  DenseForm form = DenseForm::kVector;
  DType kept_as = DType::kF32;  // the type its values are rounded to
  int64_t rows = 1;
  int64_t cols = 0;
  int64_t device_bytes = 0;  // a multiple of 64

  WeightSpec weight_spec() const { return {kept_as, rows, cols}; }
};

/// The type in which the model keeps the values of a tensor stored as `stored`:
/// config.weight_dtype, which is the type that all are stored in, fp32 where they are mixed
/// (widening is exact), or fp16 where the configuration says that the model is fp16. Throws
/// Error(kInput) naming the tensor if it is no floating-point type.
DType kept_type(const ModelConfig& config, DType stored, const std::string& name);

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
  TensorView beta;   // [D]
};

struct LayerWeights {
  NormWeights attention_norm;
  LinearWeights query, key, value, attention_output;
  NormWeights ffn_norm;
  LinearWeights ffn_up, ffn_down;  // dense layers
  Weight gate;                     // MoE layers, [E, D]
};

/// Owner of the dense weights, one block of memory. Contents are undefined until loaded.
class ModelWeights {
 public:
  ModelWeights(const ModelConfig& config, const std::vector<DenseSpec>& table, Backend& backend);

  const std::vector<LayerWeights>& layers() const { return layers_; }
  const Weight& embedding() const { return embedding_; }  // [V, D]
  const Weight& output() const { return output_; }        // [V, D]
  const NormWeights& final_norm() const { return final_norm_; }
  /// [position_offset + max_positions, D] fp32.
  const TensorView& positions() const { return positions_; }

  /// Where a table entry's bytes belong.
  void* address(const DenseSpec& spec) const { return places_.at(spec.name); }

 private:
  struct Named {
    Weight matrix;
    TensorView vector;
  };

  NormWeights norm(const std::string& name) const;
  LinearWeights linear(const std::string& name) const;

  DeviceBuffer memory_;
  Tensor sinusoids_;
  std::map<std::string, void*> places_;
  std::map<std::string, Named> named_;
  std::vector<LayerWeights> layers_;
  Weight embedding_;
  Weight output_;
  NormWeights final_norm_;
  TensorView positions_;
};

/// Bytes of the table, and of the sinusoidal position table where the model has one.
int64_t dense_bytes(const ModelConfig& config, const std::vector<DenseSpec>& table);

}  // namespace switchyard
