#include "runtime/checkpoint/fairseq_checkpoint.h"

#include <algorithm>
#include <set>

#include "kernels/base/error.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/fairseq_agreement.h"
#include "runtime/checkpoint/fairseq_config.h"
#include "runtime/checkpoint/fingerprint.h"

namespace switchyard {
namespace {

constexpr const char* kEmbedding = "decoder.embed_tokens.weight";
constexpr const char* kOutput = "decoder.output_projection.weight";
/// What the oldest models call an output matrix of their own.
constexpr const char* kOldOutput = "decoder.embed_out";
constexpr const char* kTiedSetting = "model.share_decoder_input_output_embed";

/// Tensors that describe the file, not the model, and leftovers.
bool is_no_weight(const std::string& name) {
  return name == "decoder.version" || is_leftover(name);
}

class Merger {
 public:
  Merger(const std::string& directory, const std::vector<FairseqHeader>& headers,
         const FairseqParts& parts)
      : headers_(headers), parts_(parts), config_file_(agree_on_config(headers, parts)) {
    result_.directory = directory;
  }

  Checkpoint merge() {
    count_experts();
    for (const FairseqHeader& header : headers_) {
      result_.index.files.push_back({header.file.path, header.bytes, header.identity});
    }
    add_part(parts_.main, kMainPart);
    for (size_t rank = 0; rank < parts_.ranks.size(); ++rank) {
      add_part(parts_.ranks[rank], static_cast<int64_t>(rank));
    }
    result_.config = make_fairseq_config(headers_[config_file_].config.settings, tensor_facts(),
                                         headers_[config_file_].file.path, result_.warnings);
    check_experts();
    check_layers();
    check_complete();
    check_extra();
    result_.fingerprint = make_fingerprint(settings(), named_, result_.index.files);
    return std::move(result_);
  }

 private:
  const FairseqSettings& settings() const { return headers_[config_file_].config.settings; }
  double decoder_version() const { return headers_[parts_.main.file].decoder_version; }
  const std::string& path(size_t file) const { return headers_[file].file.path; }
  const std::string& path_of(const std::string& tensor) const {
    return path(static_cast<size_t>(named_.at(tensor).entry.file));
  }

  void count_experts();
  void add_part(const FairseqPart& part, int64_t rank);
  std::string canonical_name(const FairseqPart& part, int64_t rank,
                             const NamedTensor& tensor) const;
  FairseqTensorFacts tensor_facts() const;
  void check_experts() const;
  void check_layers() const;
  void check_complete();
  [[noreturn]] void fail_missing(const std::string& name) const;
  void check_extra();

  static constexpr int64_t kMainPart = -1;

  const std::vector<FairseqHeader>& headers_;
  const FairseqParts& parts_;
  const size_t config_file_;
  Checkpoint result_;
  int64_t experts_per_file_ = 0;              // 0: no rank files
  std::map<std::string, TorchTensor> named_;  // by canonical name
  std::set<std::string> used_;
};

void Merger::count_experts() {
  for (const FairseqPart& part : parts_.ranks) {
    int64_t count = 0;
    for (const NamedTensor& tensor : part.tensors) {
      const auto name = split_expert_name(path(part.file), tensor.name);
      if (name) count = std::max(count, name->number + 1);
    }
    if (count == 0) fail_input(path(part.file), ": holds no tensors of experts");
    if (experts_per_file_ == 0) experts_per_file_ = count;
    if (count != experts_per_file_) {
      fail_input(path(part.file), ": holds ", count, " experts of a layer, but ",
                 path(parts_.ranks[0].file), " holds ", experts_per_file_,
                 "; every rank's file must hold as many");
    }
  }
}

std::string Merger::canonical_name(const FairseqPart& part, int64_t rank,
                                   const NamedTensor& tensor) const {
  const auto fail = [&](const char* problem) {
    fail_input(path(part.file), ": tensor '", printable(tensor.stored.name), "' ", problem);
  };
  if (rank == kMainPart && !parts_.ranks.empty() && belongs_to_rank_file(tensor.name)) {
    fail("belongs to an expert; experts stand in the files of the ranks only");
  }
  const auto name = split_expert_name(path(part.file), tensor.name);
  if (rank != kMainPart) {
    if (!name) fail("belongs to no expert; it is expected in the shared file");
    return concat(name->before, rank * experts_per_file_ + name->number, name->after);
  }
  // A tied model has no output matrix of its own, and the reference refuses one of this name.
  const SettingReader reader(settings(), path(config_file_));
  if (tensor.name == kOldOutput && !reader.flag(kTiedSetting, false)) return kOutput;
  return tensor.name;
}

void Merger::add_part(const FairseqPart& part, int64_t rank) {
  for (const NamedTensor& tensor : part.tensors) {
    const std::string name = canonical_name(part, rank, tensor);
    const TorchTensor& stored = tensor.stored;
    if (stored.support == TensorSupport::kReadable) result_.index.tensors[name] = stored.entry;
    const auto [other, added] = named_.emplace(name, stored);
    if (!added) {
      fail_input(path(part.file), ": tensor '", printable(stored.name), "' stands in ",
                 path_of(name), " too, as '", printable(other->second.name), "'");
    }
  }
}

FairseqTensorFacts Merger::tensor_facts() const {
  FairseqTensorFacts facts;
  facts.decoder_version = decoder_version();
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
    facts.output = output->second.entry == matrix ? FairseqTensorFacts::Output::kSameStorage
                                                  : FairseqTensorFacts::Output::kOwn;
  }
  // A file that mixes types keeps every weight exactly only in fp32.
  facts.stored_dtype = matrix.dtype;
  for (const auto& [name, tensor] : named_) {
    if (!is_no_weight(name) && tensor.entry.dtype != matrix.dtype) {
      facts.stored_dtype = DType::kF32;
    }
  }
  return facts;
}

void Merger::check_experts() const {
  const int64_t expected = result_.config.router.num_experts;
  if (experts_per_file_ == 0) return;
  const auto num_files = static_cast<int64_t>(parts_.ranks.size());
  if (num_files * experts_per_file_ != expected) {
    fail_input(path(parts_.ranks.back().file), ": with it, rank files hold ",
               num_files * experts_per_file_, " experts of a layer (", experts_per_file_,
               " each), but cfg.model.moe_expert_count is ", expected, "; ",
               num_files * experts_per_file_ < expected ? concat("is rank ", num_files, " missing?")
                                                        : std::string("is one too many?"));
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
  size_t file = parts_.main.file;
  std::string local = name;
  const auto parts = split_expert_name(path(file), name);
  if (parts && experts_per_file_ > 0) {
    file = parts_.ranks.at(static_cast<size_t>(parts->number / experts_per_file_)).file;
    local = concat(parts->before, parts->number % experts_per_file_, parts->after);
  }
  fail_input(path(file), ": tensor '", local, "'",
             local == name ? "" : concat(" (expert ", parts->number, " of all)"),
             " is missing; the file is incomplete or of another model");
}

void Merger::check_complete() {
  visit_expected_tensors(result_.config, [&](const ExpectedTensor& expected) {
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
  });
}

void Merger::check_extra() {
  std::string ignored;
  const bool old_version = decoder_version() <= 2.0;
  for (const auto& [name, tensor] : named_) {
    if (used_.count(name) > 0 || is_no_weight(name) || name == kEmbedding || name == kOutput) {
      continue;
    }
    if (old_version && name.starts_with("decoder.layer_norm.")) {
      result_.warnings.push_back(concat(path_of(name), ": tensor '", name,
                                        "' is not used: decoder.version is ", decoder_version(),
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
                                 const std::vector<FairseqHeader>& headers,
                                 const FairseqParts& parts) {
  SWITCHYARD_CHECK(!headers.empty());
  return Merger(directory, headers, parts).merge();
}

}  // namespace switchyard
