// The tensors a model is made of.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/model_config.h"

namespace switchyard {

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
};

/// Every tensor that a model of this configuration reads, once each (a tied output matrix is the
/// embedding), experts under their global ids.
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);

}  // namespace switchyard
