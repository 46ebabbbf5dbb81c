// Visible spaces, as SentencePiece writes them.
#pragma once

#include <string>

#include "runtime/tokenizer/json/json_node.h"

namespace switchyard {

/// Before which words a space is put.
enum class PrependScheme { kAlways, kFirst, kNever };

/// Whether words begin at every space.
enum class MetaspaceSplit { kAtSpaces, kNone };

/// The settings of an entry of type Metaspace, as a pre-tokenizer or a decoder.
struct Metaspace {
  std::string replacement;  // one character, which stands for a space
  PrependScheme prepend_scheme = PrependScheme::kAlways;
  MetaspaceSplit split = MetaspaceSplit::kAtSpaces;
};

/// Reads them; old files have "add_prefix_space" for the scheme. Throws Error(kInput) naming the
/// entry that is malformed or contradicts another.
Metaspace read_metaspace(const JsonNode& node);

}  // namespace switchyard
