#include "runtime/tokenizer/json/split_behavior.h"

#include <algorithm>

#include "kernels/base/value_text.h"

namespace switchyard {
namespace {

// Joins neighbours from left to right. `joins` tells from whether the part before and this one are
// matches if this one continues the word.
template <typename Joins>
std::vector<TextSpan> join_neighbours(const std::vector<TextPart>& parts, Joins joins) {
  std::vector<TextSpan> words;
  bool was_match = false;
  for (const TextPart& part : parts) {
    if (!words.empty() && joins(was_match, part.is_match)) {
      words.back().begin = std::min(words.back().begin, part.span.begin);
      words.back().end = std::max(words.back().end, part.span.end);
    } else {
      words.push_back(part.span);
    }
    was_match = part.is_match;
  }
  return words;
}

std::vector<TextSpan> keep_each(const std::vector<TextPart>& parts, bool keeps_matches) {
  std::vector<TextSpan> words;
  for (const TextPart& part : parts) {
    if (keeps_matches || !part.is_match) words.push_back(part.span);
  }
  return words;
}

bool joins_match(bool was_match, bool is_match) { return is_match && !was_match; }

std::vector<TextSpan> join_with_next(std::vector<TextPart> parts) {
  std::reverse(parts.begin(), parts.end());
  std::vector<TextSpan> words = join_neighbours(parts, joins_match);
  std::reverse(words.begin(), words.end());
  return words;
}

}  // namespace

SplitBehavior read_split_behavior(const JsonNode& node) {
  try {
    return parse_choice<SplitBehavior>(node.text(),
                                       {{"Removed", SplitBehavior::kRemoved},
                                        {"Isolated", SplitBehavior::kIsolated},
                                        {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
                                        {"MergedWithNext", SplitBehavior::kMergedWithNext},
                                        {"Contiguous", SplitBehavior::kContiguous}});
  } catch (const BadValue& error) {
    node.refuse("expected ", error.what());
  }
}

std::vector<TextSpan> join_parts(const std::vector<TextPart>& parts, SplitBehavior behavior,
                                 SplitSense sense) {
  std::vector<TextPart> cuts = parts;
  if (sense == SplitSense::kMatchesStay) {
    for (TextPart& part : cuts) part.is_match = !part.is_match;
  }
  switch (behavior) {
    case SplitBehavior::kRemoved:
      return keep_each(cuts, false);
    case SplitBehavior::kIsolated:
      return keep_each(cuts, true);
    case SplitBehavior::kMergedWithPrevious:
      return join_neighbours(cuts, joins_match);
    case SplitBehavior::kMergedWithNext:
      return join_with_next(std::move(cuts));
    case SplitBehavior::kContiguous:
      break;
  }
  return join_neighbours(cuts, [](bool was_match, bool is_match) { return was_match == is_match; });
}

}  // namespace switchyard
