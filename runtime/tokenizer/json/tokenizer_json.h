// Opening a tokenizer.json.
#pragma once

#include <memory>
#include <string>

#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// Reads a tokenizer.json of Hugging Face (see JsonTokenizer). "truncation" and "padding" are not
/// read, as transformers does not apply them unless it is asked to. Throws Error(kInput) naming the
/// file and the entry that is missing, malformed, inconsistent or not supported.
std::unique_ptr<Tokenizer> load_tokenizer_json(const std::string& path);

}  // namespace switchyard
