#include "runtime/tokenizer/regex_splitter.h"

#include <unicode/regex.h>
#include <unicode/unistr.h>
#include <unicode/utf8.h>

#include <cstdint>
#include <limits>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

// What one search may cost. ICU's unit is 10,000 saved states of its engine, less than 0.1 ms: a
// word of a megabyte takes a few hundred of them. Counted so, the limit is the same on every
// machine.
constexpr int32_t kMaxSteps = 10'000;
constexpr int32_t kMaxStackBytes = 256 << 20;

icu::UnicodeString to_utf16(std::string_view text) {
  return icu::UnicodeString::fromUTF8(
      icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

// Finds the bytes of positions in UTF-16 that only grow.
class ByteCursor {
 public:
  explicit ByteCursor(std::string_view text) : text_(text) {}

  size_t byte_of(int32_t unit) {
    while (unit_ < unit) {
      const int length = 1 + U8_COUNT_TRAIL_BYTES(static_cast<uint8_t>(text_[byte_]));
      unit_ += length == 4 ? 2 : 1;
      byte_ += static_cast<size_t>(length);
    }
    return byte_;
  }

 private:
  std::string_view text_;
  int32_t unit_ = 0;
  size_t byte_ = 0;
};

}  // namespace

class RegexSplitter::Pattern {
 public:
  Pattern(std::string_view text, const std::string& place) {
    UErrorCode status = U_ZERO_ERROR;
    UParseError where{};
    compiled_.reset(icu::RegexPattern::compile(to_utf16(text), UREGEX_UNIX_LINES, where, status));
    if (U_FAILURE(status)) {
      fail_input(place, ": the regular expression cannot be compiled (", u_errorName(status),
                 " at character ", where.offset, "): ", printable(text.substr(0, 200)));
    }
  }

  const icu::RegexPattern& compiled() const { return *compiled_; }

 private:
  std::unique_ptr<icu::RegexPattern> compiled_;
};

RegexSplitter::RegexSplitter(std::string_view pattern, const std::string& place) : place_(place) {
  const size_t invalid = find_invalid_utf8(pattern);
  if (invalid != pattern.npos) {
    fail_input(place, ": the regular expression is not UTF-8 from byte ", invalid, " on");
  }
  pattern_ = std::make_unique<const Pattern>(pattern, place);
}

RegexSplitter::~RegexSplitter() = default;

std::vector<RegexSplitter::Match> RegexSplitter::find_all(std::string_view text) const {
  if (text.size() > static_cast<size_t>(std::numeric_limits<int32_t>::max())) {
    fail_input("a text of ", text.size(), " bytes is too long to be tokenized; split it");
  }
  const icu::UnicodeString input = to_utf16(text);
  UErrorCode status = U_ZERO_ERROR;
  const std::unique_ptr<icu::RegexMatcher> matcher(pattern_->compiled().matcher(input, status));
  if (U_SUCCESS(status)) {
    matcher->setTimeLimit(kMaxSteps, status);
    matcher->setStackLimit(kMaxStackBytes, status);
  }
  std::vector<Match> matches;
  ByteCursor cursor(text);
  while (U_SUCCESS(status) && matcher->find(status)) {
    const size_t begin = cursor.byte_of(matcher->start(status));
    matches.push_back({begin, cursor.byte_of(matcher->end(status))});
  }
  if (U_FAILURE(status)) {
    fail_input(place_, ": the regular expression cannot be applied to a text of ", text.size(),
               " bytes (", u_errorName(status), ")");
  }
  return matches;
}

}  // namespace switchyard
