#include "runtime/tokenizer/json/json_tokenizer.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "runtime/tokenizer/json/characters.h"
#include "runtime/tokenizer/json/tokenizer_json.h"
#include "runtime/tokenizer/text_file.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

constexpr char kHelp[] = "tokenizer.json describes a tokenizer of Hugging Face's library";

size_t size_of_first_character(std::string_view text) {
  return static_cast<size_t>(decode_code_point(text, 0).length);
}

std::string_view part_of(std::string_view text, TextSpan span) {
  return text.substr(span.begin, span.end - span.begin);
}

}  // namespace

JsonTokenizer::JsonTokenizer(const JsonNode& root) {
  const std::optional<JsonNode> version = root.find("version");
  if (version && version->text() != "1.0") version->refuse("expected \"1.0\"");
  if (const auto node = root.find("normalizer")) normalizer_ = make_normalizer(*node);
  if (const auto node = root.find("pre_tokenizer")) pre_tokenizer_ = make_pre_tokenizer(*node);
  model_ = make_subword_model(root.at("model"));
  const boost::json::value none = boost::json::array();
  const JsonNode tokens = root.find("added_tokens").value_or(JsonNode(none, root.place()));
  added_tokens_ = std::make_unique<const AddedTokens>(tokens, *model_, normalizer_.get());
  if (const auto node = root.find("post_processor")) post_processor_ = read_post_processor(*node);
  if (const auto node = root.find("decoder")) decoder_ = make_decoder(*node);
  check_post_processor(root);
}

void JsonTokenizer::check_post_processor(const JsonNode& root) const {
  for (const auto* ids : {&post_processor_.prefix, &post_processor_.suffix}) {
    for (const int32_t id : *ids) {
      if (find_piece(id) != nullptr) continue;
      root.at("post_processor").refuse("adds the id ", id, ", which no token has");
    }
  }
}

std::vector<int32_t> JsonTokenizer::encode(std::string_view text, SpecialTokens special) const {
  const std::string valid = replace_invalid_utf8(text);
  std::vector<int32_t> ids;
  if (special == SpecialTokens::kAdd) ids = post_processor_.prefix;
  for (const TokenPart& part : added_tokens_->cut(valid, AddedTokens::Stage::kOriginal)) {
    if (part.id) {
      ids.push_back(*part.id);
    } else {
      encode_segment(part_of(valid, part.span), part.span.begin == 0, ids);
    }
  }
  if (special == SpecialTokens::kAdd) {
    ids.insert(ids.end(), post_processor_.suffix.begin(), post_processor_.suffix.end());
  }
  return ids;
}

void JsonTokenizer::encode_segment(std::string_view text, bool is_first,
                                   std::vector<int32_t>& ids) const {
  NormalizedText normalized{std::string(text), is_first ? size_of_first_character(text) : 0};
  if (normalizer_) normalizer_->apply(normalized);
  for (const TokenPart& part :
       added_tokens_->cut(normalized.text, AddedTokens::Stage::kNormalized)) {
    if (part.id) {
      ids.push_back(*part.id);
      continue;
    }
    Words words(std::string(part_of(normalized.text, part.span)),
                normalized.first_bytes - std::min(normalized.first_bytes, part.span.begin));
    if (pre_tokenizer_) pre_tokenizer_->apply(words);
    encode_words(words, ids);
  }
}

void JsonTokenizer::encode_words(const Words& words, std::vector<int32_t>& ids) const {
  // A word that came before is copied from where it stands in `ids`: begin and count.
  std::unordered_map<std::string_view, std::pair<size_t, size_t>> seen;
  for (const TextSpan& span : words.spans()) {
    const std::string_view word = words.text_of(span);
    const auto [at, is_new] = seen.try_emplace(word, ids.size(), 0);
    auto& [begin, count] = at->second;
    if (is_new) {
      check_length(word);
      model_->encode(word, ids);
      count = ids.size() - begin;
    } else {
      for (size_t i = 0; i < count; ++i) ids.push_back(ids[begin + i]);
    }
  }
}

const std::string* JsonTokenizer::find_piece(int32_t id) const {
  const std::string* content = added_tokens_->find_content(id);
  return content != nullptr ? content : model_->find_piece(id);
}

std::string JsonTokenizer::decode(std::span<const int32_t> ids, SpecialText special) const {
  std::vector<std::string> pieces;
  for (const int32_t id : ids) {
    if (id < 0) fail_input("id ", id, " cannot be decoded: ids are not negative");
    const std::string* piece = find_piece(id);
    if (piece == nullptr) continue;
    if (special == SpecialText::kSkip && added_tokens_->is_special(*piece)) continue;
    pieces.push_back(*piece);
  }
  if (decoder_) decoder_->apply(pieces);
  std::string text;
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (i > 0 && !decoder_) text += ' ';
    text += pieces[i];
  }
  return text;
}

int64_t JsonTokenizer::vocab_size() const {
  return std::max(model_->vocab_size(), added_tokens_->vocab_size());
}

std::unique_ptr<Tokenizer> load_tokenizer_json(const std::string& path) {
  const std::string text = read_text_file(path, kHelp);
  const boost::json::value root = parse_json_file(text, path);
  return std::make_unique<JsonTokenizer>(JsonNode(root, path + ":"));
}

}  // namespace switchyard
