#include "runtime/tokenizer/json/metaspace.h"

#include <optional>

#include "kernels/base/value_text.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {

Metaspace read_metaspace(const JsonNode& node) {
  Metaspace result;
  append_utf8(node.at("replacement").character(), result.replacement);
  if (const std::optional<JsonNode> scheme = node.find("prepend_scheme")) {
    try {
      result.prepend_scheme =
          parse_choice<PrependScheme>(scheme->text(), {{"always", PrependScheme::kAlways},
                                                       {"first", PrependScheme::kFirst},
                                                       {"never", PrependScheme::kNever}});
    } catch (const BadValue& error) {
      scheme->refuse("expected ", error.what());
    }
  }
  if (!node.flag("add_prefix_space", true) && result.prepend_scheme != PrependScheme::kNever) {
    node.refuse("\"add_prefix_space\" is false, but \"prepend_scheme\" is not \"never\"");
  }
  if (!node.flag("split", true)) result.split = MetaspaceSplit::kNone;
  return result;
}

}  // namespace switchyard
