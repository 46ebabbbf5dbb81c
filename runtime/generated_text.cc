#include "runtime/generated_text.h"

#include <algorithm>
#include <iterator>

namespace switchyard {
namespace {

/// Ids whose text may be held back for the rest of a character. A character has at most four bytes,
/// each at most one token; some more for those that have no text.
constexpr size_t kMostHeldIds = 8;

/// Ids without a text of their own are not decoded again and again: an ignored end of sequence may
/// come thousands of times.
constexpr size_t kMostContextIds = 64;

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

}  // namespace

std::string generated_text(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  const auto is_known = [&](int32_t id) { return id < tokenizer.vocab_size(); };
  if (std::ranges::all_of(ids, is_known)) return tokenizer.decode(ids, SpecialText::kSkip);
  std::vector<int32_t> known;
  std::ranges::copy_if(ids, std::back_inserter(known), is_known);
  return tokenizer.decode(known, SpecialText::kSkip);
}

bool TextFollower::follow(std::span<const int32_t> ids) {
  const size_t before = text_.size();
  grow(ids);
  if (!has_stop()) find_stop(before);
  return has_stop();
}

void TextFollower::grow(std::span<const int32_t> ids) {
  const std::string old = generated_text(tokenizer_, ids.subspan(context_, read_ - context_));
  const std::string now = generated_text(tokenizer_, ids.subspan(context_));
  // A text that ends so may end in the first bytes of a character.
  if (now.ends_with(kReplacement) && ids.size() - read_ < kMostHeldIds) return;
  if (now.size() <= old.size() && ids.size() - context_ < kMostContextIds) return;
  if (now.size() > old.size()) text_ += now.substr(old.size());
  context_ = read_;
  read_ = ids.size();
}

void TextFollower::find_stop(size_t from) {
  for (const std::string& stop : stops_) {
    const size_t first = from - std::min(from, stop.size() - 1);
    stop_ = std::min(stop_, text_.find(stop, first));
  }
}

std::string TextFollower::take_settled() {
  size_t settled = std::min(stop_, text_.size());
  if (!has_stop()) {
    for (const std::string& stop : stops_) {
      // The longest end of the text that the stop string begins with.
      size_t length = std::min(stop.size() - 1, text_.size());
      while (!text_.ends_with(std::string_view(stop).substr(0, length))) --length;
      settled = std::min(settled, text_.size() - length);
    }
  }
  if (settled <= taken_) return "";
  std::string result = text_.substr(taken_, settled - taken_);
  taken_ = settled;
  return result;
}

}  // namespace switchyard
