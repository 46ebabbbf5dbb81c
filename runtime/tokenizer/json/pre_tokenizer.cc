#include "runtime/tokenizer/json/pre_tokenizer.h"

#include <optional>
#include <utility>
#include <vector>

#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/gpt2_words.h"
#include "runtime/tokenizer/json/character_classes.h"
#include "runtime/tokenizer/json/metaspace.h"
#include "runtime/tokenizer/json/split_behavior.h"

namespace switchyard {
namespace {

class PreTokenizerSequence final : public PreTokenizer {
 public:
  explicit PreTokenizerSequence(std::vector<std::unique_ptr<const PreTokenizer>> parts)
      : parts_(std::move(parts)) {}

  void apply(Words& words) const override {
    for (const auto& part : parts_) part->apply(words);
  }

 private:
  std::vector<std::unique_ptr<const PreTokenizer>> parts_;
};

class SplitPreTokenizer final : public PreTokenizer {
 public:
  SplitPreTokenizer(std::unique_ptr<const TextPattern> pattern, SplitBehavior behavior,
                    SplitSense sense = SplitSense::kMatchesCut)
      : pattern_(std::move(pattern)), behavior_(behavior), sense_(sense) {}

  void apply(Words& words) const override {
    words.cut([this](std::string_view text) {
      return join_parts(pattern_->cut(text), behavior_, sense_);
    });
  }

 private:
  std::unique_ptr<const TextPattern> pattern_;
  SplitBehavior behavior_;
  SplitSense sense_;
};

std::vector<TextSpan> cut_as_gpt2(std::string_view text) {
  std::vector<TextSpan> spans;
  Gpt2Words words(text);
  for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
    const size_t begin = static_cast<size_t>(word.data() - text.data());
    spans.push_back({begin, begin + word.size()});
  }
  return spans;
}

class ByteLevelPreTokenizer final : public PreTokenizer {
 public:
  explicit ByteLevelPreTokenizer(const JsonNode& node)
      : adds_prefix_space_(node.at("add_prefix_space").boolean()),
        cuts_words_(node.flag("use_regex", true)) {}

  void apply(Words& words) const override {
    if (adds_prefix_space_) {
      words.replace([&words](TextSpan span) {
        const std::string text(words.text_of(span));
        return text.starts_with(' ') ? text : " " + text;
      });
    }
    if (cuts_words_) words.cut(cut_as_gpt2);
    words.replace([&words](TextSpan span) { return to_byte_alphabet(words.text_of(span)); });
  }

 private:
  bool adds_prefix_space_;
  bool cuts_words_;
};

class MetaspacePreTokenizer final : public PreTokenizer {
 public:
  explicit MetaspacePreTokenizer(const JsonNode& node) : settings_(read_metaspace(node)) {}

  void apply(Words& words) const override {
    words.replace([this, &words](TextSpan span) { return mark_spaces(words, span); });
    if (settings_.split == MetaspaceSplit::kNone) return;
    words.cut([this](std::string_view text) { return cut_at_marks(text); });
  }

 private:
  std::string mark_spaces(const Words& words, TextSpan span) const {
    std::string text;
    for (const char byte : words.text_of(span)) {
      if (byte == ' ') {
        text += settings_.replacement;
      } else {
        text += byte;
      }
    }
    const PrependScheme scheme = settings_.prepend_scheme;
    const bool prepends = scheme == PrependScheme::kAlways ||
                          (scheme == PrependScheme::kFirst && words.is_first(span));
    return prepends && !text.starts_with(settings_.replacement) ? settings_.replacement + text
                                                                : text;
  }

  // Every mark begins a word.
  std::vector<TextSpan> cut_at_marks(std::string_view text) const {
    std::vector<TextSpan> words;
    const std::string& mark = settings_.replacement;
    for (size_t begin = 0; begin < text.size();) {
      const size_t after = text.substr(begin).starts_with(mark) ? begin + mark.size() : begin;
      const size_t end = std::min(text.find(mark, after), text.size());
      words.push_back({begin, end});
      begin = end;
    }
    return words;
  }

  Metaspace settings_;
};

using Made = std::unique_ptr<const PreTokenizer>;

Made cut_characters(bool (*is_match)(char32_t), SplitBehavior behavior) {
  return std::make_unique<SplitPreTokenizer>(make_character_pattern(is_match), behavior);
}

Made make_split(const JsonNode& node) {
  const SplitSense sense =
      node.at("invert").boolean() ? SplitSense::kMatchesStay : SplitSense::kMatchesCut;
  return std::make_unique<SplitPreTokenizer>(make_text_pattern(node.at("pattern")),
                                             read_split_behavior(node.at("behavior")), sense);
}

Made make_sequence(std::vector<Made> parts) {
  return std::make_unique<PreTokenizerSequence>(std::move(parts));
}

Made make_bert() {
  std::vector<Made> parts;
  parts.push_back(cut_characters(is_white_space, SplitBehavior::kRemoved));
  parts.push_back(cut_characters(is_punctuation, SplitBehavior::kIsolated));
  return make_sequence(std::move(parts));
}

// Runs of word characters, and runs of other characters that are no white space.
Made make_whitespace() {
  std::vector<Made> parts;
  parts.push_back(cut_characters(is_white_space, SplitBehavior::kRemoved));
  parts.push_back(cut_characters(is_word_character, SplitBehavior::kContiguous));
  return make_sequence(std::move(parts));
}

Made make_digits(const JsonNode& node) {
  return cut_characters(is_numeric, node.at("individual_digits").boolean()
                                        ? SplitBehavior::kIsolated
                                        : SplitBehavior::kContiguous);
}

Made make_punctuation(const JsonNode& node) {
  const std::optional<JsonNode> behavior = node.find("behavior");
  return cut_characters(is_punctuation,
                        behavior ? read_split_behavior(*behavior) : SplitBehavior::kIsolated);
}

Made make_delimiter(const JsonNode& node) {
  const char32_t delimiter = node.at("delimiter").character();
  return std::make_unique<SplitPreTokenizer>(
      make_character_pattern([delimiter](char32_t c) { return c == delimiter; }),
      SplitBehavior::kRemoved);
}

// Where a word begins with the text's first character cannot be told once another pre-tokenizer has
// put characters before it.
void check_first_words(const JsonNode& node, bool& has_changed_text) {
  const std::string type = node.type();
  if (type == "Sequence") {
    for (const JsonNode& part : node.at("pretokenizers").items()) {
      check_first_words(part, has_changed_text);
    }
  } else if (type == "Metaspace") {
    if (has_changed_text && read_metaspace(node).prepend_scheme == PrependScheme::kFirst) {
      node.refuse("\"prepend_scheme\" \"first\" is not supported after another pre-tokenizer that ",
                  "changes the text");
    }
    has_changed_text = true;
  } else if (type == "ByteLevel") {
    has_changed_text = true;
  }
}

}  // namespace

std::unique_ptr<const PreTokenizer> make_pre_tokenizer(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") return std::make_unique<ByteLevelPreTokenizer>(node);
  if (type == "Metaspace") return std::make_unique<MetaspacePreTokenizer>(node);
  if (type == "Split") return make_split(node);
  if (type == "Digits") return make_digits(node);
  if (type == "Punctuation") return make_punctuation(node);
  if (type == "Whitespace") return make_whitespace();
  if (type == "WhitespaceSplit") return cut_characters(is_white_space, SplitBehavior::kRemoved);
  if (type == "CharDelimiterSplit") return make_delimiter(node);
  if (type == "BertPreTokenizer") return make_bert();
  if (type != "Sequence") {
    node.refuse("pre-tokenizers of type '", type, "' are not supported; these are: ByteLevel, ",
                "Metaspace, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, ",
                "CharDelimiterSplit, BertPreTokenizer, Sequence");
  }
  bool has_changed_text = false;
  check_first_words(node, has_changed_text);
  std::vector<Made> parts;
  for (const JsonNode& part : node.at("pretokenizers").items()) {
    parts.push_back(make_pre_tokenizer(part));
  }
  return make_sequence(std::move(parts));
}

}  // namespace switchyard
