// Small tokenizer.json files for tests.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/json/tokenizer_json.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {

/// The entries of a tokenizer.json, as JSON.
struct TokenizerJson {
  std::string added_tokens = "[]";
  std::string normalizer = "null";
  std::string pre_tokenizer = "null";
  std::string post_processor = "null";
  std::string decoder = "null";
  std::string model = R"({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []})";

  std::string text() const {
    return R"({"version": "1.0", "added_tokens": )" + added_tokens + R"(, "normalizer": )" +
           normalizer + R"(, "pre_tokenizer": )" + pre_tokenizer + R"(, "post_processor": )" +
           post_processor + R"(, "decoder": )" + decoder + R"(, "model": )" + model + "}";
  }

  std::unique_ptr<Tokenizer> load() const {
    const TempFolder folder;
    return load_tokenizer_json(folder.write("tokenizer.json", text()));
  }
};

/// An entry of "added_tokens" of whose flags one is true, or none.
inline std::string added_token(int id, std::string_view content, std::string_view flag = "") {
  std::string text = R"({"id": )" + std::to_string(id) + R"(, "content": ")" + std::string(content);
  text += '"';
  for (const std::string_view name : {"single_word", "lstrip", "rstrip", "normalized", "special"}) {
    text += R"(, ")" + std::string(name) + R"(": )" + (name == flag ? "true" : "false");
  }
  return text + "}";
}

using Ids = std::vector<int32_t>;

inline Ids encode(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.encode(text, SpecialTokens::kNone);
}

}  // namespace switchyard
