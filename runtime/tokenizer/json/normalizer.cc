#include "runtime/tokenizer/json/normalizer.h"

#include <functional>
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

  std::string apply(std::string_view text) const override {
    std::string result(text);
    for (const auto& part : parts_) result = part->apply(result);
    return result;
  }

 private:
  std::vector<std::unique_ptr<const Normalizer>> parts_;
};

class FunctionNormalizer final : public Normalizer {
 public:
  using Function = std::function<std::string(std::string_view)>;
  explicit FunctionNormalizer(Function function) : function_(std::move(function)) {}

  std::string apply(std::string_view text) const override { return function_(text); }

 private:
  Function function_;
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

FunctionNormalizer::Function make_strip(const JsonNode& node) {
  const bool is_left = node.at("strip_left").boolean();
  const bool is_right = node.at("strip_right").boolean();
  return [is_left, is_right](std::string_view text) {
    size_t begin = text.size();
    size_t end = 0;
    for_each_character(text, [&](char32_t character, std::string_view bytes) {
      if (is_white_space(character)) return;
      const size_t at = static_cast<size_t>(bytes.data() - text.data());
      begin = std::min(begin, at);
      end = at + bytes.size();
    });
    if (!is_left) begin = 0;
    if (!is_right) end = text.size();
    return std::string(begin < end ? text.substr(begin, end - begin) : std::string_view());
  };
}

FunctionNormalizer::Function make_precompiled(const JsonNode& node) {
  const JsonNode entry = node.at("precompiled_charsmap");
  const std::optional<std::string> blob = decode_base64(entry.text());
  if (!blob) entry.refuse("expected rules in base64");
  const auto rules = std::make_shared<const Charsmap>(*blob, entry.place());
  return [rules](std::string_view text) { return apply_charsmap(*rules, text); };
}

FunctionNormalizer::Function make_prepend(const JsonNode& node) {
  return [prefix = std::string(node.at("prepend").text())](std::string_view text) {
    return text.empty() ? std::string() : prefix + std::string(text);
  };
}

FunctionNormalizer::Function make_replace(const JsonNode& node) {
  const std::shared_ptr<const TextReplacement> replacement = make_replacement(node);
  return [replacement](std::string_view text) { return replacement->apply(text); };
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
  if (type == "Strip") return make_strip(node);
  if (type == "Precompiled") return make_precompiled(node);
  if (type == "Prepend") return make_prepend(node);
  if (type == "Replace") return make_replace(node);
  node.refuse("normalizers of type '", type,
              "' are not supported; these are: NFC, NFD, NFKC, NFKD, ",
              "Lowercase, Strip, StripAccents, Nmt, Precompiled, Replace, Prepend, ByteLevel, ",
              "Sequence");
}

}  // namespace

std::unique_ptr<const Normalizer> make_normalizer(const JsonNode& node) {
  if (node.type() != "Sequence") return std::make_unique<FunctionNormalizer>(make_function(node));
  std::vector<std::unique_ptr<const Normalizer>> parts;
  for (const JsonNode& part : node.at("normalizers").items()) {
    parts.push_back(make_normalizer(part));
  }
  return std::make_unique<NormalizerSequence>(std::move(parts));
}

}  // namespace switchyard
