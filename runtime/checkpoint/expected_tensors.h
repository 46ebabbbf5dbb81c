// The tensors a model is made of: the one list that completeness checks, memory tables, loading and
// synthetic weights go by.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/model_config.h"

namespace switchyard {

/// What a tensor is to the operations that use it.
enum class TensorForm : uint8_t {
  kMatrix,  ///< [out, in], packed, in the type it is kept in
  kVector,  ///< fp32, row-major (norms, biases, position tables)
  kHeads,   ///< [heads * out, in], one packed matrix [out, in] a head
  /// [heads * out, in], one packed matrix [in, out] a head: what the absorbed form of latent
  /// attention multiplies queries with.
  kTransposedHeads,
};

/// Experts are what ranks share out; everything else stands on every rank.
enum class TensorOwner : uint8_t { kEveryRank, kExpert };

/// What WeightQuantization goes by.
enum class WeightClass : uint8_t {
  kOther,      ///< never quantised
  kExpert,     ///< up and down of a routed expert
  kAttention,  ///< a matrix that attention multiplies rows with
};

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
  TensorForm form = TensorForm::kMatrix;
  TensorOwner owner = TensorOwner::kEveryRank;
  int64_t heads = 1;  // of kHeads and kTransposedHeads
  WeightClass weight_class = WeightClass::kOther;
};

/// How matrices of a class are quantised.
GroupQuantization quantization_of(const WeightQuantization& quantization, WeightClass weight_class);

/// Calls visit(tensor) for every tensor that a model of this configuration reads, once each (a tied
/// output matrix is the embedding), experts under their global ids. A configuration may claim
/// billions: whoever checks it against a file throws at the first that is missing.
void visit_expected_tensors(const ModelConfig& config,
                            const std::function<void(const ExpectedTensor&)>& visit);

/// All of them.
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

}  // namespace switchyard
