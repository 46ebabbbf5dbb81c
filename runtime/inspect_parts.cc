#include "runtime/inspect_parts.h"

#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/stored_pieces.h"

namespace switchyard {
namespace {

/// What a tensor is for, in the order of the report.
enum class Purpose : uint8_t {
  kEmbedding,
  kPositions,
  kAttention,
  kNorms,
  kDenseFfn,
  kRouters,
  kSharedExperts,
  kExperts,
  kOutput,
};

const char* name_of(Purpose purpose) {
  switch (purpose) {
    case Purpose::kEmbedding:
      return "embedding";
    case Purpose::kPositions:
      return "positions";
    case Purpose::kAttention:
      return "attention";
    case Purpose::kNorms:
      return "norms";
    case Purpose::kDenseFfn:
      return "dense feed-forward";
    case Purpose::kRouters:
      return "routers";
    case Purpose::kSharedExperts:
      return "shared experts";
    case Purpose::kExperts:
      return "experts";
    case Purpose::kOutput:
      return "output";
  }
  return "";
}

struct TensorUse {
  Purpose purpose = Purpose::kEmbedding;
  int64_t expert = -1;  // global id
  int layer = 0;        // of an expert
};

/// The use of every tensor of a model by name, the last ".weight" or ".bias" left out where it has
/// one.
class TensorUses {
 public:
  explicit TensorUses(const ModelConfig& config) {
    const TensorNames& names = config.names;
    uses_[names.output] = {Purpose::kOutput};
    uses_[names.output_bias] = {Purpose::kOutput};
    uses_[names.embedding] = {Purpose::kEmbedding};
    uses_[names.positions] = {Purpose::kPositions};
    uses_[names.final_norm] = {Purpose::kNorms};
    for (int layer = 0; layer < config.num_layers(); ++layer) add_layer(config, layer);
  }

  /// Null for a tensor that the model does not read.
  const TensorUse* find(const std::string& tensor) const {
    auto found = uses_.find(tensor);
    if (found == uses_.end()) found = uses_.find(tensor.substr(0, tensor.rfind('.')));
    return found == uses_.end() ? nullptr : &found->second;
  }

 private:
  void add_layer(const ModelConfig& config, int layer) {
    const TensorNames& names = config.names;
    const auto add = [&](const std::string& name, Purpose purpose) {
      uses_[tensor_name(name, layer)] = {purpose};
    };
    for (const std::string* name :
         {&names.query, &names.key, &names.value, &names.attention_output, &names.sinks,
          &names.query_latent, &names.latent, &names.head_keys, &names.head_values}) {
      add(*name, Purpose::kAttention);
    }
    for (const std::string* name :
         {&names.query_norm, &names.key_norm, &names.query_latent_norm, &names.latent_norm}) {
      add(*name, Purpose::kNorms);
    }
    add(names.attention_norm, Purpose::kNorms);
    add(names.ffn_norm, Purpose::kNorms);
    if (config.layers[static_cast<size_t>(layer)] == FfnKind::kDense) {
      add(names.ffn_up, Purpose::kDenseFfn);
      add(names.ffn_down, Purpose::kDenseFfn);
      return;
    }
    for (const std::string* name : {&names.gate, &names.gate_inner, &names.selection_bias}) {
      add(*name, Purpose::kRouters);
    }
    for (const std::string* name : {&names.shared_up, &names.shared_down, &names.shared_gate}) {
      add(*name, Purpose::kSharedExperts);
    }
    for (int64_t expert = 0; expert < config.router.num_experts; ++expert) {
      uses_[tensor_name(names.expert_up, layer, expert)] = {Purpose::kExperts, expert, layer};
      uses_[tensor_name(names.expert_down, layer, expert)] = {Purpose::kExperts, expert, layer};
    }
  }

  std::map<std::string, TensorUse> uses_;
};

/// Tensors, their elements and the bytes they take in the files.
struct Amount {
  int64_t tensors = 0;
  int64_t parameters = 0;
  int64_t bytes = 0;
};

/// Elements of the experts that one token goes to. `experts` is what those of each layer have; of
/// experts that differ in size, the mean counts.
int64_t active_elements(const ModelConfig& config, const std::map<int, int64_t>& experts) {
  int64_t active = 0;
  int moe_layer = 0;
  for (const auto& [layer, elements] : experts) {
    const RouterSettings router = config.router_of(moe_layer++);
    active += elements / router.num_experts * router.top_k;
  }
  return active;
}

ReportSection total_section(const ModelConfig& config, const Amount& all,
                            const std::map<int, int64_t>& experts) {
  int64_t in_experts = 0;
  for (const auto& [layer, elements] : experts) in_experts += elements;
  const int64_t dense = all.parameters - in_experts;
  ReportSection section = make_facts("parameters", "");
  section.add_fact("total", all.parameters);
  section.add_fact("outside_experts", dense);
  section.add_fact("experts", in_experts);
  section.add_fact("active_per_token", dense + active_elements(config, experts));
  section.add_fact("bytes", byte_value(all.bytes));
  return section;
}

/// "0-3, 8": ascending numbers.
std::string range_text(const std::set<int64_t>& numbers) {
  std::string text;
  for (auto at = numbers.begin(); at != numbers.end();) {
    const int64_t first = *at;
    int64_t last = first;
    for (++at; at != numbers.end() && *at == last + 1; ++at) ++last;
    text += concat(text.empty() ? "" : ", ", first);
    if (last > first) text += concat("-", last);
  }
  return text.empty() ? "-" : text;
}

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

/// What stands in one file.
struct FileContents {
  int64_t tensors = 0;
  std::set<int64_t> experts;
};

std::vector<FileContents> contents_of_files(const Checkpoint& checkpoint) {
  const TensorUses uses(checkpoint.config);
  std::vector<FileContents> contents(checkpoint.index.files.size());
  for (const auto& [name, entry] : checkpoint.index.tensors) {
    StoredPieces pieces;
    pieces.add(entry);
    const TensorUse* use = uses.find(name);
    for (const int32_t file : pieces.files()) {
      FileContents& in_file = contents[static_cast<size_t>(file)];
      ++in_file.tensors;
      if (use != nullptr && use->expert >= 0) in_file.experts.insert(use->expert);
    }
  }
  return contents;
}

}  // namespace

std::vector<ReportSection> parameter_sections(const Checkpoint& checkpoint) {
  const TensorUses uses(checkpoint.config);
  std::map<std::pair<Purpose, std::string>, Amount> amounts;
  Amount all;
  std::map<int, int64_t> experts;  // elements by layer
  StoredPieces pieces;             // of all: tensors may share scales
  for (const ExpectedTensor& tensor : expected_tensors(checkpoint.config)) {
    const TensorEntry& entry = checkpoint.index.at(tensor.name);
    const TensorUse* use = uses.find(tensor.name);
    SWITCHYARD_CHECK(use != nullptr, tensor.name);
    const int64_t bytes = pieces.add(entry);
    Amount& its = amounts[{use->purpose, stored_type(entry)}];
    if (use->expert >= 0) experts[use->layer] += entry.num_elements();
    for (Amount* amount : {&its, &all}) {
      ++amount->tensors;
      amount->parameters += entry.num_elements();
      amount->bytes += bytes;
    }
  }
  ReportSection table = {"weights",
                         "weights as stored",
                         ReportSection::Form::kRows,
                         {"for", "type", "tensors", "parameters", "bytes"},
                         {}};
  for (const auto& [key, amount] : amounts) {
    table.rows.push_back({name_of(key.first), key.second, amount.tensors, amount.parameters,
                          byte_value(amount.bytes)});
  }
  return {total_section(checkpoint.config, all, experts), table};
}

ReportSection file_section(const Checkpoint& checkpoint) {
  const std::vector<FileContents> contents = contents_of_files(checkpoint);
  ReportSection section = {
      "files",
      "",
      ReportSection::Form::kRows,
      {"file", "container", "bytes", "tensors", "experts_of_a_layer", "expert_ids"},
      {}};
  for (size_t i = 0; i < contents.size(); ++i) {
    const CheckpointFile& file = checkpoint.index.files[i];
    const bool is_packed = checkpoint.native && i > 0;
    section.rows.push_back({file_name(file.path), is_packed ? "packed" : container_name(file.path),
                            byte_value(file.bytes), contents[i].tensors,
                            static_cast<int64_t>(contents[i].experts.size()),
                            range_text(contents[i].experts)});
  }
  return section;
}

ReportSection tensor_section(const Checkpoint& checkpoint) {
  ReportSection section = {"tensors",
                           "tensors",
                           ReportSection::Form::kRows,
                           {"tensor", "type", "shape", "bytes", "file"},
                           {}};
  for (const auto& [name, entry] : checkpoint.index.tensors) {
    StoredPieces pieces;
    const int64_t bytes = pieces.add(entry);
    const auto file = static_cast<size_t>(*pieces.files().begin());
    section.rows.push_back({{name, printable(name)},
                            stored_type(entry),
                            entry.shape,
                            byte_value(bytes),
                            file_name(checkpoint.index.files[file].path)});
  }
  return section;
}

}  // namespace switchyard
