// Files that are no tokenizer.json, or one that contradicts itself.
#include <gtest/gtest.h>

#include <string>

#include "tests/runtime/expect_error.h"
#include "tests/runtime/tokenizer_json_file.h"

namespace switchyard {
namespace {

void refused(const TokenizerJson& json, std::string_view where, std::string_view why) {
  expect_error(ErrorKind::kInput, {"tokenizer.json: ", where, why}, [&] { json.load(); });
}

TEST(TokenizerJsonErrors, FilesThatAreNoJson) {
  const TempFolder folder;
  const auto refuses = [&](std::string_view text, std::string_view why) {
    const std::string path = folder.write("tokenizer.json", text);
    expect_error(ErrorKind::kInput, {path, why}, [&] { load_tokenizer_json(path); });
  };
  refuses("", "not valid JSON at byte 0");
  refuses("{\"version\": ", "not valid JSON at byte 12");
  refuses("{} x", "not valid JSON");
  refuses("{\"a\": \"\xFF\"}", "not valid JSON");
  refuses(std::string(100'000, '['), "not valid JSON");
  refuses("[]", "expected an object");
  refuses("{}", "lacks the entry \"model\"");
  refuses(R"({"version": "2.0"})", "version: expected \"1.0\"");
  expect_error(ErrorKind::kInput, {"missing.json"},
               [&] { load_tokenizer_json(folder.path("missing.json")); });
}

TEST(TokenizerJsonErrors, EveryTruncationIsAnError) {
  const std::string text = TokenizerJson().text();
  const TempFolder folder;
  for (size_t size = 0; size < text.size(); ++size) {
    const std::string path = folder.write("tokenizer.json", text.substr(0, size));
    expect_error(ErrorKind::kInput, {path}, [&] { load_tokenizer_json(path); });
  }
}

TEST(TokenizerJsonErrors, Models) {
  const auto model = [](const std::string& text, std::string_view where, std::string_view why) {
    TokenizerJson json;
    json.model = text;
    refused(json, where, why);
  };
  model(R"({"type": "WordPiece"})", "model", "models of type 'WordPiece' are not supported");
  model(R"({"type": "WordLevel"})", "model", "'WordLevel'");
  model(R"({"vocab": {}})", "model", "lacks the entry \"type\"");
  model(R"({"type": "BPE", "vocab": [], "merges": []})", "model.vocab", "{piece: id}");
  model(R"({"type": "BPE", "vocab": {"a": -1}, "merges": []})", "model.vocab 'a'", "whole number");
  model(R"({"type": "BPE", "vocab": {"a": 2147483647}, "merges": []})", "'a'", "2147483646");
  model(R"({"type": "BPE", "vocab": {"a": 1.0}, "merges": []})", "'a'", "whole number");
  model(R"({"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []})", "'b'",
        "has the id 0, as 'a' has");
  model(R"({"type": "BPE", "vocab": {"a": 0}, "merges": {}})", "model.merges", "array");
  const std::string vocab = R"({"type": "BPE", "vocab": {"a": 0, "ab": 1, "b": 2}, "merges": )";
  model(vocab + R"(["a b", "a"]})", "model.merges[1] \"a\"", "left right");
  model(vocab + R"(["a b c"]})", "merges[0]", "left right");
  model(vocab + R"([["a", 5]]})", "merges[0]", "left right");
  model(vocab + R"([["a", "b", "c"]]})", "merges[0]", "left right");
  model(vocab + R"(["a x"]})", "merges[0]", "lacks 'x'");
  model(vocab + R"(["b a"]})", "merges[0]", "lacks 'ba'");
  model(vocab + R"(["a b"], "continuing_subword_prefix": "##"})", "merges[0]", "shorter");
  model(vocab + R"([], "dropout": 0.1})", "model.dropout", "at random");
  model(vocab + R"([], "byte_fallback": "yes"})", "model.byte_fallback", "true or false");
  model(R"({"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1})", "model.unk_id", "from 0 to 0");
  model(R"({"type": "Unigram", "vocab": [["a"]]})", "model.vocab[0]", "[piece, score]");
  model(R"({"type": "Unigram", "vocab": [["a", "b"]]})", "model.vocab[0][1]", "a number");
  model(R"({"type": "Unigram", "vocab": {"a": 0}})", "model.vocab", "array");
}

TEST(TokenizerJsonErrors, AddedTokens) {
  const auto tokens = [](const std::string& text, std::string_view where, std::string_view why) {
    TokenizerJson json;
    json.model = R"({"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 3}, "merges": []})";
    json.added_tokens = "[" + text + "]";
    refused(json, where, why);
  };
  tokens(added_token(1, "a"), "added_tokens[0]", "in the model's vocabulary it has 0");
  tokens(added_token(9, "x"), "added_tokens[0]", "the next one that is free is 3");
  // The model's vocabulary has a gap, and the next free id by count is another piece's.
  tokens(added_token(3, "x"), "added_tokens[0]", "of the piece 'c'");
  tokens(added_token(0, "a") + "," + added_token(0, "a"), "added_tokens[1]", "already");
  tokens(added_token(3, ""), "added_tokens[0]", "without content");
  tokens(R"({"id": 3, "content": "x"})", "added_tokens[0]", "lacks the entry \"single_word\"");
  tokens("5", "added_tokens[0]", "expected an object");
}

TEST(TokenizerJsonErrors, StagesThatDoNotFitTheVocabulary) {
  TokenizerJson json;
  json.post_processor = R"({"type": "BertProcessing", "sep": ["x", 7], "cls": ["a", 0]})";
  refused(json, "post_processor", "adds the id 7, which no token has");
  json = TokenizerJson();
  json.added_tokens = "[" + added_token(2, "x", "normalized") + "]";
  json.normalizer = R"({"type": "Replace", "pattern": {"String": "x"}, "content": ""})";
  refused(json, "added_tokens", "nothing is left of the token 'x'");
}

}  // namespace
}  // namespace switchyard
