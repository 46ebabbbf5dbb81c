// The text of a sequence while it grows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// The text of generated ids: special tokens skipped, ids that the tokenizer does not know left
/// out.
std::string generated_text(const Tokenizer& tokenizer, std::span<const int32_t> ids);

/// Decodes ids as they come, in time linear in their number: what is new in the text is what the
/// last few ids add to it. Finds stop strings in it.
class TextFollower {
 public:
  /// The references must outlive the object. No stop string is empty.
  TextFollower(const Tokenizer& tokenizer, const std::vector<std::string>& stops)
      : tokenizer_(tokenizer), stops_(stops) {}

  /// Whether the text holds a stop string, now that `ids` have come: all so far, those of earlier
  /// calls among them.
  bool follow(std::span<const int32_t> ids);

  bool has_stop() const { return stop_ != std::string::npos; }
  /// The text up to the stop string that was found.
  std::string_view before_stop() const { return std::string_view(text_).substr(0, stop_); }

  /// What has come since the last call and will stay: no part of a character, and nothing that a
  /// stop string may begin with.
  std::string take_settled();

 private:
  void grow(std::span<const int32_t> ids);
  void find_stop(size_t from);

  const Tokenizer& tokenizer_;
  const std::vector<std::string>& stops_;
  std::string text_;
  size_t context_ = 0;  // ids from here on are decoded again, so that each is seen with others
  size_t read_ = 0;     // ids whose text stands in text_
  size_t stop_ = std::string::npos;  // where the first stop string begins
  size_t taken_ = 0;                 // bytes that take_settled() gave
};

}  // namespace switchyard
