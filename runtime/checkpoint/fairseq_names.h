// The names that fairseq gives to tensors, old and new.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/torch_file.h"

namespace switchyard {

/// "<before><number><after>" with the number of the expert in its file.
struct ExpertName {
  std::string before, after;
  int64_t number = 0;
};

/// The parts of an expert's tensor name; none for other tensors. Throws Error(kInput) naming the
/// file and the tensor for a number that is not plain.
std::optional<ExpertName> split_expert_name(const std::string& file, const std::string& name);

/// The rule by which fairseq writes a tensor into the files of the ranks.
bool belongs_to_rank_file(const std::string& name);

/// A leftover without a meaning, whose contents may be anything.
bool is_leftover(const std::string& name);

/// The name without the modules that wrap others in distributed training.
std::string without_wrappers(std::string_view name);

/// A tensor under the name that today's models have for it.
struct NamedTensor {
  std::string name;
  TorchTensor stored;  // stored.name is the name in the file
};

/// Adds the tensor without wrappers' names, older layer norms by their current names, and the joint
/// projection of attention as the query's, the key's and the value's parts of it. Throws
/// Error(kInput) naming `file` and the tensor if a joint projection has no three parts.
void add_by_current_name(const std::string& file, const TorchTensor& tensor,
                         std::vector<NamedTensor>& to);

}  // namespace switchyard
