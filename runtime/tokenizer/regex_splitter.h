// Regular expressions that cut texts into words.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// A compiled regular expression in the dialect of ICU, which has Unicode properties, look-ahead,
/// possessive quantifiers and intersections of classes. "." matches all but \n, and \s is Unicode's
/// White_Space, as in the libraries that the patterns of released tokenizers were written for.
/// Immutable and thread-safe.
class RegexSplitter {
 public:
  /// Bytes begin to end of a text.
  struct Match {
    size_t begin = 0;
    size_t end = 0;
    bool operator==(const Match&) const = default;
  };

  /// `place` names the file and the entry that hold the pattern, for messages. Throws Error(kInput)
  /// for a pattern that is not UTF-8 or that ICU cannot compile.
  RegexSplitter(std::string_view pattern, const std::string& place);
  ~RegexSplitter();

  /// All matches from left to right; each search begins where the match before ended. An empty
  /// match is one, too. `text` is valid UTF-8, less than 2^31 bytes. Takes time linear in its
  /// length for the patterns of released tokenizers. Throws Error(kInput) for a pattern that takes
  /// too long or too much memory on this text.
  std::vector<Match> find_all(std::string_view text) const;

 private:
  class Pattern;  // keeps ICU out of this header

  std::unique_ptr<const Pattern> pattern_;
  std::string place_;
};

}  // namespace switchyard
