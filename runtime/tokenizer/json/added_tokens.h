// Tokens that are cut out of a text before it is split into words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "runtime/tokenizer/json/json_node.h"
#include "runtime/tokenizer/json/normalizer.h"
#include "runtime/tokenizer/json/prefix_index.h"
#include "runtime/tokenizer/json/subword_model.h"
#include "runtime/tokenizer/json/text_pattern.h"

namespace switchyard {

/// One entry of "added_tokens".
struct AddedTokenEntry {
  int32_t id = 0;
  std::string content;
  bool is_single_word = false;    ///< matches only where no word goes on before or after it
  bool takes_left_space = false;  ///< takes the white space before it along
  bool takes_right_space = false;
  bool is_normalized = false;  ///< looked for, normalized, in the normalized text
  bool is_special = false;     ///< left out by decoding on request
};

/// A part of a text that is a token, or text between tokens.
struct TokenPart {
  TextSpan span;
  std::optional<int32_t> id;
};

/// The list "added_tokens". Immutable and thread-safe.
class AddedTokens {
 public:
  /// In which text to look for tokens.
  enum class Stage { kOriginal, kNormalized };

  /// `node` is the array; `normalizer` may be null. Throws Error(kInput) naming the entry that is
  /// malformed, stands there twice, or whose id is not the one the reference library would give:
  /// the id the model's vocabulary has for it, else the next free one after both.
  AddedTokens(const JsonNode& node, const SubwordModel& model, const Normalizer* normalizer);
  AddedTokens(const AddedTokens&) = delete;
  AddedTokens& operator=(const AddedTokens&) = delete;

  /// The text's parts in order. Where several tokens match, the leftmost counts, of these the
  /// longest.
  /// A token found in white space that another has taken is a part all the same.
  std::vector<TokenPart> cut(std::string_view text, Stage stage) const;

  /// Null for an id that no added token has.
  const std::string* find_content(int32_t id) const;
  bool is_special(std::string_view content) const;
  /// Ids are below this; 0 without tokens.
  int64_t vocab_size() const { return vocab_size_; }

 private:
  void add(const JsonNode& node, const SubwordModel& model);
  PrefixIndex index_tokens(Stage stage, const JsonNode& node, const Normalizer* normalizer) const;

  std::vector<AddedTokenEntry> tokens_;
  std::unordered_map<int32_t, size_t> by_id_;
  std::unordered_set<std::string_view> contents_;          // of tokens_, which does not grow
  std::unordered_set<std::string_view> special_contents_;  // of tokens_
  int64_t vocab_size_ = 0;
  PrefixIndex original_{{}};    // values: places in tokens_
  PrefixIndex normalized_{{}};  // values: places in tokens_
};

}  // namespace switchyard
