#include "runtime/tokenizer/tiktoken_tokenizer.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/pair_merger.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {

// Encodes the words of one text; a word that came before is copied from where its ids stand.
class TiktokenTokenizer::WordEncoder {
 public:
  WordEncoder(const TiktokenRanks& ranks, std::vector<int32_t>& ids) : ranks_(ranks), ids_(ids) {}

  void append(std::string_view word) {
    if (const std::optional<int32_t> id = ranks_.find_id(word)) {
      ids_.push_back(*id);
      return;
    }
    const auto [at, is_new] = seen_.try_emplace(word, ids_.size(), 0);
    auto& [begin, count] = at->second;
    if (is_new) {
      merge(word);
      count = ids_.size() - begin;
    } else {
      for (size_t i = 0; i < count; ++i) ids_.push_back(ids_[begin + i]);
    }
  }

 private:
  void merge(std::string_view word) {
    symbols_.clear();
    for (const char byte : word) symbols_.push_back(ranks_.id_of_byte(byte));
    merger_.merge(symbols_, [this](int32_t left, int32_t right) { return find(left, right); });
    ids_.insert(ids_.end(), symbols_.begin(), symbols_.end());
  }

  std::optional<PairMerge> find(int32_t left, int32_t right) {
    joined_ = *ranks_.find_bytes(left);
    joined_ += *ranks_.find_bytes(right);
    const std::optional<int32_t> id = ranks_.find_id(joined_);
    if (!id) return std::nullopt;
    return PairMerge{*id, *id};
  }

  const TiktokenRanks& ranks_;
  std::vector<int32_t>& ids_;
  std::unordered_map<std::string_view, std::pair<size_t, size_t>> seen_;  // begin, count in ids_
  std::vector<int32_t> symbols_;
  std::string joined_;
  PairMerger merger_;
};

TiktokenTokenizer::TiktokenTokenizer(const std::string& path, TiktokenRanks ranks,
                                     const TiktokenDefinition& definition)
    : path_(path),
      ranks_(std::move(ranks)),
      splitter_(definition.pattern, definition.place),
      special_tokens_(definition.special_tokens),
      vocab_size_(ranks_.end()) {
  for (const AddedToken& token : definition.special_tokens) {
    if (const std::string* bytes = ranks_.find_bytes(token.id)) {
      fail_input(path, ": the special token '", printable(token.content), "' has the id ", token.id,
                 ", which is that of the token '", printable(*bytes), "'");
    }
    special_names_.emplace(token.id, token.content);
    vocab_size_ = std::max<int64_t>(vocab_size_, int64_t{token.id} + 1);
  }
}

std::vector<int32_t> TiktokenTokenizer::encode(std::string_view text,
                                               SpecialTokens /*special*/) const {
  const std::string valid = replace_invalid_utf8(text);
  std::vector<int32_t> ids;
  WordEncoder words(ranks_, ids);
  for (size_t at = 0;;) {
    const auto special = special_tokens_.find(valid, at);
    const size_t end = special ? special->begin : valid.size();
    const std::string_view plain = std::string_view(valid).substr(at, end - at);
    for (const RegexSplitter::Match& match : splitter_.find_all(plain)) {
      words.append(plain.substr(match.begin, match.end - match.begin));
    }
    if (!special) return ids;
    ids.push_back(special->id);
    at = special->end;
  }
}

std::string TiktokenTokenizer::decode(std::span<const int32_t> ids, SpecialText special) const {
  std::string text;
  for (const int32_t id : ids) {
    const auto name = special_names_.find(id);
    if (name != special_names_.end()) {
      if (special == SpecialText::kKeep) text += name->second;
      continue;
    }
    const std::string* bytes = ranks_.find_bytes(id);
    if (bytes == nullptr) fail_input("id ", id, " cannot be decoded: ", path_, " has no such rank");
    text += *bytes;
  }
  return replace_invalid_utf8(text);
}

std::unique_ptr<Tokenizer> load_tiktoken_tokenizer(const TiktokenSource& source) {
  TiktokenRanks ranks(source.path);
  const TiktokenDefinition definition = find_tiktoken_definition(source, ranks.size());
  return std::make_unique<TiktokenTokenizer>(source.path, std::move(ranks), definition);
}

}  // namespace switchyard
