// Tokenizers in SentencePiece's own format.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"
#include "runtime/tokenizer/tokenizer_config.h"

namespace switchyard {

/// A tokenizer.model or spiece.model, read by the sentencepiece library. The names of control
/// tokens in a text are text like any other.
///
/// Which of bos and eos encloses a text is what tokenizer_config.json beside the model says
/// (add_bos_token, add_eos_token), else what the tokenizer_class there does: Llama's and Gemma's
/// begin with bos, T5's ends with eos; without a class spiece.model is taken for T5's and all else
/// for Llama's. Special tokens that are added to the pieces (added_tokens_decoder,
/// added_tokens.json) have a name for decode() and are never what a text is encoded to.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  /// Throws Error(kInput) naming the file for one that is broken, for a bos or eos that is to be
  /// added and does not exist, for added tokens that are words, which only tokenizer.json can
  /// describe, and for "add_prefix_space" false, which contradicts the model.
  explicit SentencePieceTokenizer(const std::string& path);
  ~SentencePieceTokenizer() override;

  std::vector<int32_t> encode(std::string_view text, SpecialTokens special) const override;
  /// Pieces between two control tokens are decoded as a text of their own. Throws Error(kInput) for
  /// an id without a piece.
  std::string decode(std::span<const int32_t> ids, SpecialText special) const override;
  int64_t vocab_size() const override;

 private:
  class Model;  // keeps the library out of this header

  void read_added_tokens(const TokenizerConfig& config);
  void choose_enclosing_tokens(const TokenizerConfig& config);
  int32_t find_enclosing_token(const std::string& name, int32_t of_model, const char* what) const;
  /// The name of a control token, null for a piece of text.
  const std::string* find_control_name(int32_t id) const;

  std::string path_;
  std::unique_ptr<const Model> model_;
  std::unordered_map<int32_t, std::string> control_names_;
  std::vector<int32_t> prefix_;  // what stands before a text, and after it
  std::vector<int32_t> suffix_;
  int64_t vocab_size_ = 0;
};

}  // namespace switchyard
