#include "runtime/tokenizer/json/added_tokens.h"

#include <algorithm>
#include <limits>

#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/json/character_classes.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

AddedTokenEntry read_token(const JsonNode& node) {
  AddedTokenEntry token;
  token.id =
      static_cast<int32_t>(node.at("id").integer(0, std::numeric_limits<int32_t>::max() - 1));
  token.content = node.at("content").text();
  token.is_single_word = node.at("single_word").boolean();
  token.takes_left_space = node.at("lstrip").boolean();
  token.takes_right_space = node.at("rstrip").boolean();
  token.is_normalized = node.at("normalized").boolean();
  token.is_special = node.at("special").boolean();
  return token;
}

// The character that ends before `at`, which is not 0, of valid UTF-8.
CodePoint character_before(std::string_view text, size_t at) {
  size_t begin = at - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
  return decode_code_point(text, begin);
}

bool is_word_before(std::string_view text, size_t at) {
  return at > 0 && is_word_character(character_before(text, at).value);
}

bool is_word_after(std::string_view text, size_t at) {
  return at < text.size() && is_word_character(decode_code_point(text, at).value);
}

size_t skip_spaces_before(std::string_view text, size_t at, size_t lowest) {
  while (at > lowest) {
    const CodePoint point = character_before(text, at);
    if (!is_white_space(point.value)) break;
    at -= static_cast<size_t>(point.length);
  }
  return at;
}

size_t skip_spaces_after(std::string_view text, size_t at) {
  while (at < text.size()) {
    const CodePoint point = decode_code_point(text, at);
    if (!is_white_space(point.value)) break;
    at += static_cast<size_t>(point.length);
  }
  return at;
}

}  // namespace

AddedTokens::AddedTokens(const JsonNode& node, const SubwordModel& model,
                         const Normalizer* normalizer) {
  const std::vector<JsonNode> entries = node.items();
  tokens_.reserve(entries.size());
  for (const JsonNode& entry : entries) add(entry, model);
  original_ = index_tokens(Stage::kOriginal, node, nullptr);
  normalized_ = index_tokens(Stage::kNormalized, node, normalizer);
}

void AddedTokens::add(const JsonNode& node, const SubwordModel& model) {
  const AddedTokenEntry token = read_token(node);
  const std::string name = printable(token.content);
  if (token.content.empty()) node.refuse("a token without content cannot be found in a text");
  if (contents_.contains(token.content)) node.refuse("the token '", name, "' stands there already");
  const int64_t next_free = std::max(vocab_size_, model.num_pieces());
  const int64_t expected = model.find_id(token.content).value_or(static_cast<int32_t>(next_free));
  if (token.id != expected) {
    node.refuse("the token '", name, "' has the id ", token.id, ", but ",
                model.find_id(token.content) ? "in the model's vocabulary it has "
                                             : "the next one that is free is ",
                expected, "; is an entry missing?");
  }
  const std::string* piece = model.find_piece(token.id);
  if (piece != nullptr && *piece != token.content) {
    node.refuse("the token '", name, "' has the id ", token.id, " of the piece '",
                printable(*piece), "'");
  }
  by_id_[token.id] = tokens_.size();
  vocab_size_ = std::max<int64_t>(vocab_size_, int64_t{token.id} + 1);
  tokens_.push_back(token);
  contents_.insert(tokens_.back().content);
  if (token.is_special) special_contents_.insert(tokens_.back().content);
}

PrefixIndex AddedTokens::index_tokens(Stage stage, const JsonNode& node,
                                      const Normalizer* normalizer) const {
  std::vector<PrefixIndex::Entry> entries;
  // Special tokens come first where two become the same text.
  for (const bool is_special : {true, false}) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      const AddedTokenEntry& token = tokens_[i];
      if (token.is_special != is_special) continue;
      if (token.is_normalized != (stage == Stage::kNormalized)) continue;
      NormalizedText normalized{token.content};
      if (normalizer != nullptr) normalizer->apply(normalized);
      if (normalized.text.empty()) {
        node.refuse("nothing is left of the token '", printable(token.content),
                    "' when it is normalized");
      }
      entries.push_back({std::move(normalized.text), static_cast<int32_t>(i)});
    }
  }
  return PrefixIndex(std::move(entries));
}

std::vector<TokenPart> AddedTokens::cut(std::string_view text, Stage stage) const {
  const PrefixIndex& index = stage == Stage::kOriginal ? original_ : normalized_;
  std::vector<TokenPart> parts;
  size_t done = 0;
  size_t end_of_spaces = 0;  // that were last skipped, so that no run is walked over again
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    int32_t longest = 0;
    index.for_each_prefix(text.substr(at), [&](size_t its_length, int32_t value) {
      length = its_length;
      longest = value;
    });
    if (length == 0) {
      ++at;
      continue;
    }
    const AddedTokenEntry& token = tokens_[static_cast<size_t>(longest)];
    size_t begin = at;
    size_t end = at + length;
    at = end;
    const bool is_in_word = is_word_before(text, begin) || is_word_after(text, end);
    if (token.is_single_word && is_in_word) continue;
    // White space that an earlier token has taken is not taken again.
    if (token.takes_left_space) begin = std::max(skip_spaces_before(text, begin, done), done);
    if (token.takes_right_space) {
      end = end_of_spaces = skip_spaces_after(text, std::max(end, end_of_spaces));
    }
    if (begin >= end) continue;
    if (done < begin) parts.push_back({{done, begin}, std::nullopt});
    parts.push_back({{begin, end}, token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({{done, text.size()}, std::nullopt});
  return parts;
}

const std::string* AddedTokens::find_content(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &tokens_[found->second].content;
}

bool AddedTokens::is_special(std::string_view content) const {
  return special_contents_.contains(content);
}

}  // namespace switchyard
