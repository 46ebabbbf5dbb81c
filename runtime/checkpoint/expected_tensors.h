// The tensors a model is made of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/model_config.h"

namespace switchyard {

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
};

/// Calls visit(tensor) for every tensor that a model of this configuration reads, once each (a tied
/// output matrix is the embedding), experts under their global ids. A configuration may claim
/// billions: whoever checks it against a file throws at the first that is missing.
void visit_expected_tensors(const ModelConfig& config,
                            const std::function<void(const ExpectedTensor&)>& visit);

/// All of them.
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

}  // namespace switchyard
