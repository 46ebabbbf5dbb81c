#include "runtime/tokenizer/json/text_pattern.h"

#include <utility>

#include "runtime/tokenizer/json/characters.h"
#include "runtime/tokenizer/json/oniguruma.h"
#include "runtime/tokenizer/regex_splitter.h"

namespace switchyard {
namespace {

class CharacterPattern final : public TextPattern {
 public:
  explicit CharacterPattern(std::function<bool(char32_t)> is_match)
      : is_match_(std::move(is_match)) {}

 private:
  std::vector<TextSpan> find(std::string_view text) const override {
    std::vector<TextSpan> matches;
    for_each_character(text, [&](char32_t character, std::string_view bytes) {
      const size_t begin = static_cast<size_t>(bytes.data() - text.data());
      if (is_match_(character)) matches.push_back({begin, begin + bytes.size()});
    });
    return matches;
  }

  std::function<bool(char32_t)> is_match_;
};

class LiteralPattern final : public TextPattern {
 public:
  explicit LiteralPattern(std::string literal) : literal_(std::move(literal)) {}

 private:
  std::vector<TextSpan> find(std::string_view text) const override {
    std::vector<TextSpan> matches;
    for (size_t at = text.find(literal_); at != text.npos; at = text.find(literal_, at)) {
      matches.push_back({at, at + literal_.size()});
      at += literal_.size();
    }
    return matches;
  }

  std::string literal_;
};

class RegexPattern final : public TextPattern {
 public:
  RegexPattern(std::string_view expression, const std::string& place)
      : splitter_(translate_oniguruma(expression, place).expression, place) {}

 private:
  std::vector<TextSpan> find(std::string_view text) const override {
    std::vector<TextSpan> matches;
    for (const RegexSplitter::Match& match : splitter_.find_all(text)) {
      // The reference library leaves out an empty match that directly follows another match.
      const bool is_empty = match.begin == match.end;
      if (is_empty && !matches.empty() && matches.back().end == match.end) continue;
      matches.push_back({match.begin, match.end});
    }
    return matches;
  }

  RegexSplitter splitter_;
};

}  // namespace

std::vector<TextPart> TextPattern::cut(std::string_view text) const {
  std::vector<TextPart> parts;
  if (text.empty()) return parts;
  size_t end = 0;
  for (const TextSpan& match : find(text)) {
    if (end != match.begin) parts.push_back({{end, match.begin}, false});
    parts.push_back({match, true});
    end = match.end;
  }
  if (end != text.size()) parts.push_back({{end, text.size()}, false});
  return parts;
}

std::unique_ptr<const TextPattern> make_character_pattern(std::function<bool(char32_t)> is_match) {
  return std::make_unique<CharacterPattern>(std::move(is_match));
}

std::unique_ptr<const TextPattern> make_text_pattern(const JsonNode& node) {
  if (const std::optional<JsonNode> literal = node.find("String")) {
    if (literal->text().empty()) literal->refuse("an empty text cannot be searched for");
    return std::make_unique<LiteralPattern>(std::string(literal->text()));
  }
  const JsonNode expression = node.at("Regex");
  return std::make_unique<RegexPattern>(expression.text(), expression.place());
}

ReplacedText TextReplacement::apply(std::string_view text) const {
  ReplacedText result;
  for (const TextPart& part : pattern_->cut(text)) {
    if (part.is_match && part.span.begin == 0) result.first_match_end = part.span.end;
    result.text += part.is_match ? std::string_view(content_)
                                 : text.substr(part.span.begin, part.span.end - part.span.begin);
  }
  return result;
}

std::unique_ptr<const TextReplacement> make_replacement(const JsonNode& node) {
  const JsonNode pattern = node.at("pattern");
  if (const std::optional<JsonNode> expression = pattern.find("Regex")) {
    if (translate_oniguruma(expression->text(), expression->place()).can_match_nothing) {
      expression->refuse("replacing matches that can be empty is not supported");
    }
  }
  return std::make_unique<TextReplacement>(make_text_pattern(pattern),
                                           std::string(node.at("content").text()));
}

}  // namespace switchyard
