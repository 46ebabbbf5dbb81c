// Small tokenizers with what their reference implementations make of texts.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// The folder of a case.
inline std::string tokenizer_case(const std::string& name) {
  return std::string(SWITCHYARD_TEST_DATA) + "/tokenizers/" + name;
}

/// Expects {"text", "ids", "decoded"} of every line of the case's expected.jsonl: "ids" with what
/// the tokenizer adds, "decoded" the text without.
inline void expect_reference(const std::string& folder, const Tokenizer& tokenizer,
                             int num_expected) {
  std::ifstream file(folder + "/expected.jsonl");
  int num_texts = 0;
  for (std::string line; std::getline(file, line); ++num_texts) {
    const boost::json::object expected = boost::json::parse(line).as_object();
    const auto text = boost::json::value_to<std::string>(expected.at("text"));
    const auto ids = boost::json::value_to<std::vector<int32_t>>(expected.at("ids"));
    EXPECT_EQ(tokenizer.encode(text, SpecialTokens::kAdd), ids) << text;
    const std::vector<int32_t> plain = tokenizer.encode(text, SpecialTokens::kNone);
    EXPECT_EQ(tokenizer.decode(plain, SpecialText::kKeep), expected.at("decoded").as_string());
  }
  EXPECT_EQ(num_texts, num_expected);
}

}  // namespace switchyard
