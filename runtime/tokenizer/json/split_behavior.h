// What becomes of the places where a text is cut.
#pragma once

#include <vector>

#include "runtime/tokenizer/json/json_node.h"
#include "runtime/tokenizer/json/text_pattern.h"

namespace switchyard {

/// What becomes of a match of the pattern that cuts a text.
enum class SplitBehavior {
  kRemoved,             ///< it is dropped
  kIsolated,            ///< it is a word
  kMergedWithPrevious,  ///< it ends the word before it; a match right after a match is a word
  kMergedWithNext,      ///< it begins the word after it; a match right before a match is a word
  kContiguous,          ///< it is a word, together with the matches that directly follow
};

/// Whether the pattern finds what cuts the text or what stands between the cuts.
enum class SplitSense { kMatchesCut, kMatchesStay };

/// The value of an entry "behavior", by name. Throws Error(kInput) for another.
SplitBehavior read_split_behavior(const JsonNode& node);

/// The words that the parts of a text give.
std::vector<TextSpan> join_parts(const std::vector<TextPart>& parts, SplitBehavior behavior,
                                 SplitSense sense);

}  // namespace switchyard
