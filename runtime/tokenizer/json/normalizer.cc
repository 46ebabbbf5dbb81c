#include "runtime/tokenizer/json/normalizer.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "runtime/tokenizer/base64.h"
#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/json/character_classes.h"
#include "runtime/tokenizer/json/characters.h"
#include "runtime/tokenizer/json/charsmap.h"
#include "runtime/tokenizer/json/text_pattern.h"
#include "runtime/tokenizer/json/unicode_forms.h"

namespace switchyard {
namespace {

class NormalizerSequence final : public Normalizer {
 public:
  explicit NormalizerSequence(std::vector<std::unique_ptr<const Normalizer>> parts)
      : parts_(std::move(parts)) {}

  void apply(NormalizedText& text) const override {
    for (const auto& part : parts_) part->apply(text);
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> parts_;
};

class FunctionNormalizer final : public Normalizer {
 public:
  using Function = std::function<std::string(std::string_view)>;
  explicit FunctionNormalizer(Function function) : function_(std::move(function)) {}

  void apply(NormalizedText& text) const override {
    if (text.first_bytes > 0) {
      text.first_bytes = function_(std::string_view(text.text).substr(0, text.first_bytes)).size();
    }
    text.text = function_(text.text);
  }

 private:
  Function function_;
};

class ReplaceNormalizer final : public Normalizer {
 public:
  explicit ReplaceNormalizer(const JsonNode& node) : replacement_(make_replacement(node)) {}

  void apply(NormalizedText& text) const override {
    const std::string first = text.text.substr(0, text.first_bytes);
    ReplacedText replaced = replacement_->apply(text.text);
    // The reference library takes what replaces several characters for the last one of them.
    text.first_bytes =
        replaced.first_match_end <= first.size() ? replacement_->apply(first).text.size() : 0;
    text.text = std::move(replaced.text);
  }

 private:
  std::unique_ptr<const TextReplacement> replacement_;
};

class StripNormalizer final : public Normalizer {
 public:
  explicit StripNormalizer(const JsonNode& node)
      : strips_left_(node.at("strip_left").boolean()),
        strips_right_(node.at("strip_right").boolean()) {}

  void apply(NormalizedText& text) const override {
    size_t begin = text.text.size();
    size_t end = 0;
    for_each_character(text.text, [&](char32_t character, std::string_view bytes) {
      if (is_white_space(character)) return;
      const size_t at = static_cast<size_t>(bytes.data() - text.text.data());
      begin = std::min(begin, at);
      end = at + bytes.size();
    });
    if (strips_right_) text.text.resize(end);
    if (strips_left_) {
      text.text.erase(0, begin);
      text.first_bytes -= std::min(text.first_bytes, begin);
    }
  }

 private:
  bool strips_left_;
  bool strips_right_;
};

class PrecompiledNormalizer final : public Normalizer {
 public:
  explicit PrecompiledNormalizer(const JsonNode& entry) : rules_(decode(entry), entry.place()) {}

  void apply(NormalizedText& text) const override {
    const bool is_first = text.first_bytes > 0;
    const std::string_view first = std::string_view(text.text).substr(0, text.first_bytes);
    text.first_bytes = apply_charsmap(rules_, first).size();
    text.text = apply_charsmap(rules_, text.text);
    // Where the rules drop a character, the reference library takes the next one for it.
    if (is_first && !text.text.empty()) text.first_bytes = std::max<size_t>(text.first_bytes, 1);
  }

 private:
  static std::string decode(const JsonNode& entry) {
    std::optional<std::string> blob = decode_base64(entry.text());
    if (!blob) entry.refuse("expected rules in base64");
    return std::move(*blob);
  }

  Charsmap rules_;
};

std::string strip_accents(std::string_view text) {
  std::string result;
  for_each_character(text, [&result](char32_t character, std::string_view bytes) {
    if (!is_combining_mark(character)) result += bytes;
  });
  return result;
}

bool is_dropped_by_nmt(char32_t c) {
  return (c >= 0x01 && c <= 0x08) || c == 0x0B || (c >= 0x0E && c <= 0x1F) || c == 0x7F ||
         c == 0x8F || c == 0x9F;
}

bool is_space_to_nmt(char32_t c) {
  return c == '\t' || c == '\n' || c == '\f' || c == '\r' || c == 0x1680 ||
         (c >= 0x200B && c <= 0x200F) || c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF ||
         c == kReplacementCharacter;
}

// The clean-up of sentencepiece's "nmt" rules, as the library writes it out.
std::string clean_for_nmt(std::string_view text) {
  std::string result;
  for_each_character(text, [&result](char32_t character, std::string_view bytes) {
    if (is_dropped_by_nmt(character)) return;
    result += is_space_to_nmt(character) ? std::string_view(" ") : bytes;
  });
  return result;
}

FunctionNormalizer::Function make_prepend(const JsonNode& node) {
  return [prefix = std::string(node.at("prepend").text())](std::string_view text) {
    return text.empty() ? std::string() : prefix + std::string(text);
  };
}

FunctionNormalizer::Function make_function(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "NFC") return make_unicode_form(UnicodeForm::kNfc);
  if (type == "NFD") return make_unicode_form(UnicodeForm::kNfd);
  if (type == "NFKC") return make_unicode_form(UnicodeForm::kNfkc);
  if (type == "NFKD") return make_unicode_form(UnicodeForm::kNfkd);
  if (type == "Lowercase") return to_lower_case;
  if (type == "StripAccents") return strip_accents;
  if (type == "Nmt") return clean_for_nmt;
  if (type == "ByteLevel") return to_byte_alphabet;
  if (type == "Prepend") return make_prepend(node);
  node.refuse("normalizers of type '", type,
              "' are not supported; these are: NFC, NFD, NFKC, NFKD, ",
              "Lowercase, Strip, StripAccents, Nmt, Precompiled, Replace, Prepend, ByteLevel, ",
              "Sequence");
}

}  // namespace

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "Strip") return std::make_unique<StripNormalizer>(node);
  if (type == "Replace") return std::make_unique<ReplaceNormalizer>(node);
  if (type == "Precompiled") {
    return std::make_unique<PrecompiledNormalizer>(node.at("precompiled_charsmap"));
  }
  if (type != "Sequence") return std::make_unique<FunctionNormalizer>(make_function(node));
  std::vector<std::unique_ptr<const Normalizer>> parts;
  for (const JsonNode& part : node.at("normalizers").items()) {
    parts.push_back(make_normalizer(part));
  }
  return std::make_unique<NormalizerSequence>(std::move(parts));
}

}  // namespace switchyard
