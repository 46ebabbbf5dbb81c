// The tokenizer that a tokenizer.json of Hugging Face describes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/json/added_tokens.h"
#include "runtime/tokenizer/json/decoder.h"
#include "runtime/tokenizer/json/normalizer.h"
#include "runtime/tokenizer/json/post_processor.h"
#include "runtime/tokenizer/json/pre_tokenizer.h"
#include "runtime/tokenizer/json/subword_model.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// A text goes through five stages: added tokens are cut out, the rest is normalized, cut into
/// words, each word becomes ids by the model, and the post-processor adds ids around them all.
/// Ids and texts are those of the tokenizers library, version 0.22, except for characters that
/// Unicode's versions after this library's ICU have brought.
class JsonTokenizer final : public Tokenizer {
 public:
  /// See load_tokenizer_json.
  explicit JsonTokenizer(const JsonNode& root);

  std::vector<int32_t> encode(std::string_view text, SpecialTokens special) const override;
  /// Ids that the file does not list give no text: embeddings are often padded beyond them. Throws
  /// Error(kInput) for a negative one.
  std::string decode(std::span<const int32_t> ids, SpecialText special) const override;
  int64_t vocab_size() const override;

 private:
  void check_post_processor(const JsonNode& root) const;
  void encode_segment(std::string_view text, bool is_first, std::vector<int32_t>& ids) const;
  void encode_words(const Words& words, std::vector<int32_t>& ids) const;
  const std::string* find_piece(int32_t id) const;

  std::unique_ptr<const Normalizer> normalizer_;       // null: none
  std::unique_ptr<const PreTokenizer> pre_tokenizer_;  // null: none
  std::unique_ptr<const SubwordModel> model_;
  std::unique_ptr<const AddedTokens> added_tokens_;
  PostProcessor post_processor_;
  std::unique_ptr<const Decoder> decoder_;  // null: none
};

}  // namespace switchyard
