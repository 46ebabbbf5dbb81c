#include "runtime/tokenizer/json/unicode_forms.h"

#include <unicode/brkiter.h>
#include <unicode/bytestream.h>
#include <unicode/locid.h>
#include <unicode/normalizer2.h>
#include <unicode/uniset.h>
#include <unicode/utext.h>

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/tokenizer/json/characters.h"

namespace switchyard {
namespace {

void check(UErrorCode status, const char* what) {
  if (U_FAILURE(status))
    fail_resource("the Unicode library cannot ", what, " (", u_errorName(status), ")");
}

icu::StringPiece piece_of(std::string_view text) {
  return icu::StringPiece(text.data(), static_cast<int32_t>(text.size()));
}

const icu::Normalizer2& full_form(UnicodeForm form) {
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* result = nullptr;
  switch (form) {
    case UnicodeForm::kNfc:
      result = icu::Normalizer2::getNFCInstance(status);
      break;
    case UnicodeForm::kNfd:
      result = icu::Normalizer2::getNFDInstance(status);
      break;
    case UnicodeForm::kNfkc:
      result = icu::Normalizer2::getNFKCInstance(status);
      break;
    case UnicodeForm::kNfkd:
      result = icu::Normalizer2::getNFKDInstance(status);
      break;
  }
  check(status, "normalise text");
  return *result;
}

const icu::UnicodeSet& unicode_9() {
  static const icu::UnicodeSet* set = [] {
    UErrorCode status = U_ZERO_ERROR;
    auto* made = new icu::UnicodeSet(u"[:age=9.0:]", status);
    check(status, "list the characters of Unicode 9");
    made->freeze();
    return made;
  }();
  return *set;
}

const icu::Normalizer2& decomposition_of(UnicodeForm form) {
  const bool is_compatible = form == UnicodeForm::kNfkc || form == UnicodeForm::kNfkd;
  return full_form(is_compatible ? UnicodeForm::kNfkd : UnicodeForm::kNfd);
}

// Puts the marks that follow a character into canonical order (Unicode Standard, 3.11), which does
// not change what a text normalizes to. The library does so by insertion, in quadratic time.
class MarkSorter {
 public:
  explicit MarkSorter(const icu::Normalizer2& decomposition) : decomposition_(decomposition) {}

  std::string sort(std::string_view text) {
    for_each_character(text, [this](char32_t character, std::string_view bytes) {
      if (take_marks(static_cast<UChar32>(character))) return;
      finish_run();
      result_ += bytes;
    });
    finish_run();
    return std::move(result_);
  }

 private:
  struct Mark {
    UChar32 character;
    uint8_t combining_class;
  };

  // Takes what a character decomposes into if that begins with a mark.
  bool take_marks(UChar32 character) {
    constexpr UChar32 kFirstMark = 0x300;
    if (character < kFirstMark) return false;
    icu::UnicodeString parts;
    if (!decomposition_.getDecomposition(character, parts)) parts = icu::UnicodeString(character);
    if (decomposition_.getCombiningClass(parts.char32At(0)) == 0) return false;
    if (!unicode_9().contains(character)) return false;
    for (int32_t at = 0; at < parts.length(); at = parts.moveIndex32(at, 1)) {
      const UChar32 part = parts.char32At(at);
      run_.push_back({part, decomposition_.getCombiningClass(part)});
    }
    return true;
  }

  void finish_run() {
    std::stable_sort(run_.begin(), run_.end(), [](const Mark& left, const Mark& right) {
      return left.combining_class < right.combining_class;
    });
    for (const Mark& mark : run_) append_utf8(static_cast<char32_t>(mark.character), result_);
    run_.clear();
  }

  const icu::Normalizer2& decomposition_;
  std::string result_;
  std::vector<Mark> run_;
};

using BreakIterator = std::unique_ptr<icu::BreakIterator>;

BreakIterator make_grapheme_iterator() {
  static const icu::BreakIterator* prototype = [] {
    UErrorCode status = U_ZERO_ERROR;
    auto* made = icu::BreakIterator::createCharacterInstance(icu::Locale::getRoot(), status);
    check(status, "find the borders of characters");
    return made;
  }();
  return BreakIterator(prototype->clone());
}

void append_grapheme(const Charsmap& rules, std::string_view grapheme, std::string& result) {
  constexpr size_t kLongestLookedUp = 5;  // bytes; the reference implementation's constant
  if (grapheme.size() <= kLongestLookedUp) {
    if (const auto replacement = rules.find(grapheme)) {
      result += *replacement;
      return;
    }
  }
  for_each_character(grapheme, [&](char32_t, std::string_view bytes) {
    result += rules.find(bytes).value_or(bytes);
  });
}

}  // namespace

std::function<std::string(std::string_view)> make_unicode_form(UnicodeForm form) {
  const auto normalizer =
      std::make_shared<const icu::FilteredNormalizer2>(full_form(form), unicode_9());
  return [normalizer, form](std::string_view text) {
    const std::string sorted = MarkSorter(decomposition_of(form)).sort(text);
    check_length(sorted);
    std::string result;
    icu::StringByteSink<std::string> sink(&result);
    UErrorCode status = U_ZERO_ERROR;
    normalizer->normalizeUTF8(0, piece_of(sorted), sink, nullptr, status);
    check(status, "normalise text");
    return result;
  };
}

std::string to_lower_case(std::string_view text) {
  constexpr char32_t kCapitalIWithDot = 0x130;  // the only one that becomes two characters
  std::string result;
  for_each_character(text, [&result](char32_t character, std::string_view) {
    if (character == kCapitalIWithDot) {
      result += "i\u0307";
    } else {
      append_utf8(static_cast<char32_t>(u_tolower(static_cast<UChar32>(character))), result);
    }
  });
  return result;
}

std::string apply_charsmap(const Charsmap& rules, std::string_view text) {
  check_length(text);
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<UText, decltype(&utext_close)> input(
      utext_openUTF8(nullptr, text.data(), static_cast<int64_t>(text.size()), &status),
      &utext_close);
  const BreakIterator borders = make_grapheme_iterator();
  borders->setText(input.get(), status);
  check(status, "find the borders of characters");
  std::string result;
  int32_t begin = borders->first();
  for (int32_t end = borders->next(); end != icu::BreakIterator::DONE; end = borders->next()) {
    append_grapheme(rules, text.substr(begin, end - begin), result);
    begin = end;
  }
  return result;
}

}  // namespace switchyard
