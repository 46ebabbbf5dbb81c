// What is added around the ids of a text.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/tokenizer/json/json_node.h"

namespace switchyard {

/// Ids before and after those of a text.
struct PostProcessor {
  std::vector<int32_t> prefix;
  std::vector<int32_t> suffix;
};

/// What an entry of tokenizer.json adds to a single text: TemplateProcessing, BertProcessing,
/// RobertaProcessing, ByteLevel (which adds nothing) or a Sequence of them. What it does to pairs
/// of texts and to offsets is not read. Throws Error(kInput) naming the entry for another or a
/// malformed one.
PostProcessor read_post_processor(const JsonNode& node);

}  // namespace switchyard
