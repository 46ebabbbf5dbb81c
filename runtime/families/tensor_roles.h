// The roles of a decoder's tensors by their names in descriptions.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/model_config.h"

namespace switchyard {

/// What a name of TensorNames' defaults says.
struct TensorRole {
  std::string role;  // as "expert_up"
  int layer = 0;
  int64_t expert = 0;
  enum class Kind { kWeight, kBias, kWhole } kind = Kind::kWhole;  // by its suffix
};

/// "layers.3.experts.7.up.bias" is the bias of expert_up of layer 3, expert 7. Needs such a name.
TensorRole role_of(std::string_view name);

/// Whether every layer has tensors of the role, only those with experts, or only those without.
enum class RoleLayers { kAll, kMoe, kDense };
RoleLayers layers_of_role(std::string_view role);

}  // namespace switchyard
