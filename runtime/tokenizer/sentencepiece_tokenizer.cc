#include "runtime/tokenizer/sentencepiece_tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <exception>
#include <filesystem>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/sentencepiece_check.h"
#include "runtime/tokenizer/text_file.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

constexpr char kHelp[] =
    "a SentencePiece model is called tokenizer.model or spiece.model; name its folder with "
    "--tokenizer DIR";

/// What a tokenizer adds to a text.
struct Enclosing {
  bool has_bos = false;
  bool has_eos = false;
};

/// What a class of transformers adds when its configuration does not say.
std::optional<Enclosing> enclosing_of_class(std::string_view name) {
  constexpr std::string_view kFast = "Fast";
  if (name.ends_with(kFast)) name.remove_suffix(kFast.size());
  for (const std::string_view bos : {"LlamaTokenizer", "CodeLlamaTokenizer", "GemmaTokenizer"}) {
    if (name == bos) return Enclosing{.has_bos = true};
  }
  if (name == "T5Tokenizer") return Enclosing{.has_eos = true};
  return std::nullopt;
}

Enclosing choose_enclosing(const TokenizerConfig& config, const std::string& path) {
  std::optional<Enclosing> usual = enclosing_of_class(config.tokenizer_class);
  if (config.tokenizer_class.empty()) {
    const bool is_t5 = std::filesystem::path(path).filename() == "spiece.model";
    usual = enclosing_of_class(is_t5 ? "T5Tokenizer" : "LlamaTokenizer");
  }
  if (!usual && !(config.add_bos_token && config.add_eos_token)) {
    fail_input(config.path, ": what the tokenizer_class '", printable(config.tokenizer_class),
               "' adds to a text is not known; say it with \"add_bos_token\" and "
               "\"add_eos_token\" there, or give a tokenizer.json");
  }
  const Enclosing otherwise = usual.value_or(Enclosing{});
  return {config.add_bos_token.value_or(otherwise.has_bos),
          config.add_eos_token.value_or(otherwise.has_eos)};
}

}  // namespace

// The library, whose failures become errors that name the file.
class SentencePieceTokenizer::Model {
 public:
  explicit Model(const std::string& path) : path_(path) {
    const std::string bytes = read_text_file(path, kHelp);
    check_sentencepiece_rules(bytes, path);
    try {
      const sentencepiece::util::Status status = processor_.LoadFromSerializedProto(bytes);
      if (!status.ok()) fail_load(status.message());
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      fail_load(error.what());
    }
  }

  const sentencepiece::SentencePieceProcessor& processor() const { return processor_; }

  std::vector<int> encode(std::string_view text) const {
    std::vector<int> ids;
    check(processor_.Encode(text, &ids));
    return ids;
  }

  std::string decode(const std::vector<int>& ids) const {
    std::string text;
    check(processor_.Decode(ids, &text));
    return text;
  }

 private:
  [[noreturn]] void fail_load(const char* why) const {
    fail_input(path_, " is no SentencePiece model (", printable(why), "): ", kHelp);
  }

  void check(const sentencepiece::util::Status& status) const {
    if (!status.ok()) fail_input(path_, ": ", printable(status.message()));
  }

  std::string path_;
  sentencepiece::SentencePieceProcessor processor_;
};

SentencePieceTokenizer::SentencePieceTokenizer(const std::string& path)
    : path_(path), model_(std::make_unique<const Model>(path)) {
  const auto& processor = model_->processor();
  vocab_size_ = processor.GetPieceSize();
  for (int32_t id = 0; id < processor.GetPieceSize(); ++id) {
    if (processor.IsControl(id)) control_names_.emplace(id, processor.IdToPiece(id));
  }
  const TokenizerConfig config =
      read_tokenizer_config(std::filesystem::path(path).parent_path().string());
  // The class then leaves out the space that the model puts before a text.
  if (config.add_prefix_space == false && config.legacy == false) {
    fail_input(config.path, ": \"add_prefix_space\" false is not supported with ", path,
               "; give a tokenizer.json");
  }
  read_added_tokens(config);
  choose_enclosing_tokens(config);
}

SentencePieceTokenizer::~SentencePieceTokenizer() = default;

void SentencePieceTokenizer::read_added_tokens(const TokenizerConfig& config) {
  const int32_t num_pieces = model_->processor().GetPieceSize();
  for (const AddedToken& token : config.added_tokens) {
    if (token.id < num_pieces) {
      const std::string& piece = model_->processor().IdToPiece(token.id);
      if (piece == token.content) continue;
      fail_input(config.path, ": the added token '", printable(token.content), "' has the id ",
                 token.id, ", which is the piece '", printable(piece), "' of ", path_);
    }
    if (token.kind == AddedToken::Kind::kWord) {
      fail_input(config.path, ": the added token '", printable(token.content), "' (", token.id,
                 ") is not special and no piece of ", path_,
                 "; texts with such tokens need a tokenizer.json");
    }
    control_names_.emplace(token.id, token.content);
    vocab_size_ = std::max<int64_t>(vocab_size_, int64_t{token.id} + 1);
  }
}

void SentencePieceTokenizer::choose_enclosing_tokens(const TokenizerConfig& config) {
  const auto& processor = model_->processor();
  const Enclosing enclosing = choose_enclosing(config, path_);
  if (enclosing.has_bos) {
    prefix_.push_back(find_enclosing_token(config.bos_token, processor.bos_id(), "bos"));
  }
  if (enclosing.has_eos) {
    suffix_.push_back(find_enclosing_token(config.eos_token, processor.eos_id(), "eos"));
  }
}

int32_t SentencePieceTokenizer::find_enclosing_token(const std::string& name, int32_t of_model,
                                                     const char* what) const {
  if (name.empty() && of_model >= 0) return of_model;
  for (const auto& [id, control_name] : control_names_) {
    if (control_name == name) return id;
  }
  // An unknown name gives the id of <unk>.
  const int32_t piece = model_->processor().PieceToId(name);
  if (model_->processor().IdToPiece(piece) == name) return piece;
  fail_input(path_, ": a text is enclosed with ", what, ", but there is no such token",
             name.empty() ? "" : concat(" as '", printable(name), "'"),
             "; tokenizer_config.json beside it says which it is (\"", what, "_token\") and ",
             "whether it is added (\"add_", what, "_token\")");
}

const std::string* SentencePieceTokenizer::find_control_name(int32_t id) const {
  const auto found = control_names_.find(id);
  return found == control_names_.end() ? nullptr : &found->second;
}

std::vector<int32_t> SentencePieceTokenizer::encode(std::string_view text,
                                                    SpecialTokens special) const {
  const std::vector<int> pieces = model_->encode(replace_invalid_utf8(text));
  if (special == SpecialTokens::kNone) return pieces;
  std::vector<int32_t> ids = prefix_;
  ids.insert(ids.end(), pieces.begin(), pieces.end());
  ids.insert(ids.end(), suffix_.begin(), suffix_.end());
  return ids;
}

std::string SentencePieceTokenizer::decode(std::span<const int32_t> ids,
                                           SpecialText special) const {
  std::string text;
  std::vector<int> pieces;
  for (const int32_t id : ids) {
    const std::string* control_name = find_control_name(id);
    if (control_name == nullptr) {
      if (id < 0 || id >= model_->processor().GetPieceSize()) {
        fail_input("id ", id, " cannot be decoded: ", path_, " has no such piece");
      }
      pieces.push_back(id);
      continue;
    }
    text += model_->decode(pieces);
    pieces.clear();
    if (special == SpecialText::kKeep) text += *control_name;
  }
  return replace_invalid_utf8(text + model_->decode(pieces));
}

int64_t SentencePieceTokenizer::vocab_size() const { return vocab_size_; }

}  // namespace switchyard
