#include "runtime/checkpoint/fairseq_checkpoint.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>

#include "kernels/base/error.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/fairseq_config.h"
#include "runtime/checkpoint/fingerprint.h"

namespace switchyard {
namespace {

constexpr std::string_view kExpertPart = ".moe_layer.experts.";
constexpr const char* kEmbedding = "decoder.embed_tokens.weight";
constexpr const char* kOutput = "decoder.output_projection.weight";

/// "<before><number><after>" with the number of the expert in its file.
struct ExpertName {
  std::string before, after;
  int64_t number = 0;
};

/// The parts of an expert's tensor name; none for other tensors.
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

/// The rule by which fairseq writes a tensor into the files of the ranks.
bool belongs_to_rank_file(const std::string& name) {
  return name.find("expert") != std::string::npos &&
         name.find("expert_centroids") == std::string::npos;
}

/// Harmless leftovers that the reference discards too.
bool is_discarded(const std::string& name) {
  return name == "decoder.version" || name == "decoder.embed_positions._float_tensor" ||
         name == "decoder.embed_positions.weights";
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += concat(i == 0 ? "" : ", ", shape[i]);
  return text + "]";
}

class Merger {
 public:
  Merger(const std::string& directory, const std::vector<FairseqHeader>& headers)
      : headers_(headers) {
    result_.directory = directory;
  }

  Checkpoint merge() {
    choose_settings();
    count_experts();
    for (size_t i = 0; i < headers_.size(); ++i) add_file(i);
    result_.config = make_fairseq_config(headers_[config_file_].config.settings, tensor_facts(),
                                         headers_[config_file_].file.path, result_.warnings);
    check_experts();
    check_layers();
    check_complete();
    check_extra();
    result_.fingerprint = make_fingerprint(settings(), named_);
    return std::move(result_);
  }

 private:
  const FairseqSettings& settings() const { return headers_[config_file_].config.settings; }
  const std::string& path(size_t file) const { return headers_[file].file.path; }
  const std::string& path_of(const std::string& tensor) const {
    return path(static_cast<size_t>(named_.at(tensor).entry.file));
  }

  void choose_settings();
  void count_experts();
  void add_file(size_t file);
  std::string canonical_name(size_t file, const std::string& name) const;
  FairseqTensorFacts tensor_facts() const;
  void check_experts() const;
  void check_layers() const;
  void check_complete();
  [[noreturn]] void fail_missing(const std::string& name) const;
  void check_extra();

  const std::vector<FairseqHeader>& headers_;
  Checkpoint result_;
  size_t config_file_ = 0;
  int64_t experts_per_file_ = 0;              // 0: no rank files
  std::map<std::string, TorchTensor> named_;  // by canonical name
  std::set<std::string> used_;
};

void Merger::choose_settings() {
  // As the reference: the first rank's file, here or else the next that has them.
  config_file_ = headers_.size();
  for (size_t i = 0; i < headers_.size(); ++i) {
    const size_t file = (i + 1) % headers_.size();
    if (!headers_[file].config.missing.empty()) continue;
    if (config_file_ == headers_.size()) config_file_ = file;
    const FairseqSettings& mine = headers_[file].config.settings;
    for (const auto& [name, text] : settings()) {
      const auto other = mine.find(name);
      const std::string found = other == mine.end() ? "absent" : other->second;
      if (found != text) {
        fail_input(path(file), ": the setting cfg.", name, " is ", found, ", but in ",
                   path(config_file_), " it is ", text, "; the files are of different checkpoints");
      }
    }
  }
  if (config_file_ == headers_.size()) {
    fail_input(path(0), ": ", headers_[0].config.missing,
               "; a configuration in the dictionary 'cfg' is needed, other forms are not "
               "supported yet");
  }
}

void Merger::count_experts() {
  for (size_t i = 0; i < headers_.size(); ++i) {
    if (headers_[i].file.role != FairseqFileRole::kRank) continue;
    int64_t count = 0;
    for (const TorchTensor& tensor : headers_[i].tensors) {
      const auto parts = split_expert_name(path(i), tensor.name);
      if (parts) count = std::max(count, parts->number + 1);
    }
    if (count == 0) fail_input(path(i), ": holds no tensors of experts");
    if (experts_per_file_ == 0) experts_per_file_ = count;
    if (count != experts_per_file_) {
      fail_input(path(i), ": holds ", count, " experts of a layer, but ", path(1), " holds ",
                 experts_per_file_, "; every rank's file must hold as many");
    }
  }
}

std::string Merger::canonical_name(size_t file, const std::string& name) const {
  const FairseqFileRole role = headers_[file].file.role;
  if (role == FairseqFileRole::kShared && belongs_to_rank_file(name)) {
    fail_input(path(file), ": tensor '", printable(name),
               "' belongs to an expert; experts stand in the files of the ranks only");
  }
  const auto parts = split_expert_name(path(file), name);
  if (role == FairseqFileRole::kRank && !parts) {
    fail_input(path(file), ": tensor '", printable(name),
               "' belongs to no expert; it is expected in the shared file");
  }
  if (role != FairseqFileRole::kRank || !parts) return name;
  const int64_t first = (static_cast<int64_t>(file) - 1) * experts_per_file_;
  return concat(parts->before, first + parts->number, parts->after);
}

void Merger::add_file(size_t file) {
  result_.index.files.push_back({path(file), headers_[file].bytes, headers_[file].identity});
  for (const TorchTensor& tensor : headers_[file].tensors) {
    TorchTensor named = tensor;
    named.entry.file = static_cast<int32_t>(file);
    const std::string name = canonical_name(file, tensor.name);
    if (named.support == TensorSupport::kReadable) result_.index.tensors[name] = named.entry;
    if (!named_.emplace(name, std::move(named)).second) {
      fail_input(path(file), ": tensor '", printable(tensor.name), "' stands in ", path_of(name),
                 " too");
    }
  }
}

FairseqTensorFacts Merger::tensor_facts() const {
  FairseqTensorFacts facts;
  facts.decoder_version = headers_[0].decoder_version;
  const auto embedding = named_.find(kEmbedding);
  if (embedding == named_.end()) fail_missing(kEmbedding);
  const TensorEntry& matrix = embedding->second.entry;
  if (matrix.shape.size() != 2) {
    fail_input(path_of(kEmbedding), ": tensor '", kEmbedding, "' has the shape ",
               shape_text(matrix.shape), "; expected [vocabulary, width]");
  }
  facts.vocab_size = matrix.shape[0];
  const auto output = named_.find(kOutput);
  if (output != named_.end()) {
    const TensorEntry& other = output->second.entry;
    const bool same = other.file == matrix.file && other.offset == matrix.offset &&
                      other.shape == matrix.shape && other.strides == matrix.strides &&
                      other.dtype == matrix.dtype;
    facts.output =
        same ? FairseqTensorFacts::Output::kSameStorage : FairseqTensorFacts::Output::kOwn;
  }
  // A file that mixes types keeps every weight exactly only in fp32.
  facts.stored_dtype = matrix.dtype;
  for (const auto& [name, tensor] : named_) {
    if (!is_discarded(name) && tensor.entry.dtype != matrix.dtype) {
      facts.stored_dtype = DType::kF32;
    }
  }
  return facts;
}

void Merger::check_experts() const {
  const int64_t expected = result_.config.router.num_experts;
  if (experts_per_file_ == 0) return;
  const auto num_files = static_cast<int64_t>(headers_.size()) - 1;
  if (num_files * experts_per_file_ != expected) {
    fail_input(path(headers_.size() - 1), ": the ", num_files, " files of the ranks hold ",
               experts_per_file_, " experts of a layer each, but cfg.model.moe_expert_count is ",
               expected, "; are all files there?");
  }
}

void Merger::check_layers() const {
  const ModelConfig& config = result_.config;
  for (int layer = 0; layer < config.num_layers(); ++layer) {
    const bool gate = named_.count(tensor_name(config.names.gate, layer) + ".weight") > 0;
    const bool dense = named_.count(tensor_name(config.names.ffn_up, layer) + ".weight") > 0;
    const bool moe = config.layers[static_cast<size_t>(layer)] == FfnKind::kMoe;
    if (moe ? dense : gate) {
      fail_input(path(0), ": layer ", layer, " has ", dense ? "dense" : "expert",
                 " feed-forward tensors, but by cfg.model.moe_freq and moe_expert_count it is ",
                 moe ? "an expert layer" : "a dense layer");
    }
  }
}

void Merger::fail_missing(const std::string& name) const {
  size_t file = 0;
  std::string local = name;
  const auto parts = split_expert_name(path(0), name);
  if (parts && experts_per_file_ > 0) {
    file = static_cast<size_t>(1 + parts->number / experts_per_file_);
    local = concat(parts->before, parts->number % experts_per_file_, parts->after);
  }
  fail_input(path(file), ": tensor '", local, "'",
             local == name ? "" : concat(" (expert ", parts->number, " of all)"),
             " is missing; the file is incomplete or of another model");
}

void Merger::check_complete() {
  for (const ExpectedTensor& expected : expected_tensors(result_.config)) {
    const auto found = named_.find(expected.name);
    if (found == named_.end()) fail_missing(expected.name);
    const TorchTensor& tensor = found->second;
    const std::string what =
        concat(path_of(expected.name), ": tensor '", printable(tensor.name), "'");
    if (tensor.entry.shape != expected.shape) {
      fail_input(what, " has the shape ", shape_text(tensor.entry.shape), "; expected ",
                 shape_text(expected.shape), " by the configuration");
    }
    const DType dtype = tensor.entry.dtype;
    const bool real = dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
    if (tensor.support != TensorSupport::kReadable || !real) {
      fail_input(what, " is of type ", tensor.storage_type,
                 "; expected FloatStorage, HalfStorage or BFloat16Storage");
    }
    used_.insert(expected.name);
  }
}

void Merger::check_extra() {
  std::string ignored;
  const bool old_version = headers_[0].decoder_version <= 2.0;
  for (const auto& [name, tensor] : named_) {
    if (used_.count(name) > 0 || is_discarded(name) || name == kEmbedding || name == kOutput) {
      continue;
    }
    if (old_version && name.starts_with("decoder.layer_norm.")) {
      result_.warnings.push_back(concat(path_of(name), ": tensor '", name,
                                        "' is not used: decoder.version is ",
                                        headers_[0].decoder_version,
                                        ", and such models have no norm after the last "
                                        "layer"));
      continue;
    }
    // Inside the decoder an unknown tensor means an unknown operation; the reference refuses too.
    if (name.starts_with("decoder.")) {
      fail_input(path_of(name), ": tensor '", printable(tensor.name), "' (",
                 shape_text(tensor.entry.shape),
                 ") has no place in the model that the configuration describes");
    }
    ignored += concat(ignored.empty() ? "" : ", ", printable(name));
  }
  if (!ignored.empty()) {
    result_.warnings.push_back(concat(result_.directory, ": ignored tensors: ", ignored));
  }
}

}  // namespace

Checkpoint merge_fairseq_headers(const std::string& directory,
                                 const std::vector<FairseqHeader>& headers) {
  SWITCHYARD_CHECK(!headers.empty());
  return Merger(directory, headers).merge();
}

}  // namespace switchyard
