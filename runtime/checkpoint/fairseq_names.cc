#include "runtime/checkpoint/fairseq_names.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/tensor_slice.h"

namespace switchyard {
namespace {

constexpr std::string_view kExpertPart = ".moe_layer.experts.";

/// As transformer.py of the reference renames them; number 1 is the encoder's attention.
constexpr std::pair<std::string_view, std::string_view> kOldNorms[] = {
    {".layer_norms.0.", ".self_attn_layer_norm."},
    {".layer_norms.2.", ".final_layer_norm."},
};

constexpr std::string_view kWrappers[] = {"module", "_fsdp_wrapped_module", "_fpw_module"};

/// The part of "<module>.self_attn.in_proj_<kind>" before in_proj and its kind; false for others.
bool split_joint_projection(const std::string& name, std::string& module, std::string& kind) {
  constexpr std::string_view kJoint = ".self_attn.in_proj_";
  const size_t at = name.rfind(kJoint);
  if (at == std::string::npos) return false;
  kind = name.substr(at + kJoint.size());
  module = name.substr(0, at + kJoint.size() - std::string_view("in_proj_").size());
  return kind == "weight" || kind == "bias";
}

}  // namespace

std::optional<ExpertName> split_expert_name(const std::string& file, const std::string& name) {
  const size_t at = name.find(kExpertPart);
  if (at == std::string::npos) return std::nullopt;
  const size_t first = at + kExpertPart.size();
  const size_t end = std::min(name.find('.', first), name.size());
  const std::string digits = name.substr(first, end - first);
  ExpertName parts{name.substr(0, first), name.substr(end), 0};
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), parts.number);
  if (result.ec != std::errc() || std::to_string(parts.number) != digits || parts.number < 0 ||
      parts.number >= 65536) {
    fail_input(file, ": tensor '", printable(name), "': '", printable(digits),
               "' is no plain expert number; expected 0, 1, 2 and so on");
  }
  return parts;
}

bool belongs_to_rank_file(const std::string& name) {
  return name.find("expert") != std::string::npos &&
         name.find("expert_centroids") == std::string::npos;
}

bool is_leftover(const std::string& name) {
  return name == "decoder.embed_positions._float_tensor" ||
         name == "decoder.embed_positions.weights";
}

std::string without_wrappers(std::string_view name) {
  std::string clean;
  while (true) {
    const size_t dot = name.find('.');
    const std::string_view part = name.substr(0, dot);
    const bool last = dot == std::string_view::npos;
    if (std::find(std::begin(kWrappers), std::end(kWrappers), part) == std::end(kWrappers)) {
      clean += part;
      if (!last) clean += '.';
    }
    if (last) return clean;
    name.remove_prefix(dot + 1);
  }
}

void add_by_current_name(const std::string& file, const TorchTensor& tensor,
                         std::vector<NamedTensor>& to) {
  std::string name = without_wrappers(tensor.name);
  for (const auto& [old_part, new_part] : kOldNorms) {
    const size_t at = name.find(old_part);
    if (at != std::string::npos) name.replace(at, old_part.size(), new_part);
  }
  std::string module, kind;
  if (!split_joint_projection(name, module, kind)) {
    to.push_back({std::move(name), tensor});
    return;
  }
  const std::vector<int64_t>& shape = tensor.entry.shape;
  if (shape.empty() || shape[0] % 3 != 0) {
    fail_input(file, ": tensor '", printable(tensor.name), "': has ", shape.empty() ? 0 : shape[0],
               " rows; expected those of query, key and value, equally many");
  }
  const int64_t rows = shape[0] / 3;
  int64_t part = 0;
  for (const char* projection : {"q_proj.", "k_proj.", "v_proj."}) {
    to.push_back({concat(module, projection, kind), rows_of(tensor, rows * part++, rows)});
  }
}

}  // namespace switchyard
