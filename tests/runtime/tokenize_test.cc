// The whole of `tokenize`.
#include "runtime/tokenize.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "parallel/control_channel.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace json = boost::json;

const std::string kModel = std::string(SWITCHYARD_TEST_DATA) + "/trained_moe_8e";

/// Runs with the same options on every rank.
void run(const TokenizeOptions& options, int num_ranks = 1) {
  ScoreSetup setup;
  setup.num_ranks = num_ranks;
  run_as_threads(setup, [&](Backend& backend, Communicator& ranks, ProgressSink&) {
    ControlChannel control(backend, ranks);
    run_tokenize(options, control);
  });
}

/// The bytes of the result.
std::string tokenize(TokenizeOptions options, int num_ranks = 1) {
  const TemporaryFile out("out.jsonl");
  options.output = out.path();
  run(options, num_ranks);
  return out.contents();
}

std::vector<json::object> parse_lines(const std::string& text) {
  std::vector<json::object> objects;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    objects.push_back(json::parse(line).as_object());
  }
  return objects;
}

/// Compares all texts of the case but those with a token that only GPT-2's own tokenizer
/// recognises; the keys name what the reference gave.
void expect_reference(const TokenizeOptions& options, const char* ids, const char* decoded) {
  std::ifstream file(kModel + "/tokenizer_expected.jsonl");
  const std::vector<json::object> expected =
      parse_lines(std::string(std::istreambuf_iterator<char>(file), {}));
  const std::vector<json::object> got = parse_lines(tokenize(options));
  ASSERT_EQ(got.size(), expected.size());
  EXPECT_EQ(got.size(), 300u);
  for (size_t i = 0; i < got.size(); ++i) {
    const std::string text = json::value_to<std::string>(expected[i].at("text"));
    const bool has_token = text.find("<|endoftext|>") != std::string::npos;
    if (!has_token || std::string(ids) == "dict_ids") {
      EXPECT_EQ(got[i].at("ids"), expected[i].at(ids)) << i;
    }
    EXPECT_EQ(got[i].at("decoded"), expected[i].at(decoded)) << i;
    EXPECT_EQ(got[i].size(), 2u);
  }
}

TEST(Tokenize, GivesTheReferencesIdsWithADictionary) {
  TokenizeOptions options;
  options.model = kModel;
  options.input = kModel + "/tokenizer_expected.jsonl";
  expect_reference(options, "dict_ids", "decoded");
  EXPECT_EQ(tokenize(options, 3), tokenize(options));
}

TEST(Tokenize, WithoutADictionaryTheIdsAreThoseOfEncoderJson) {
  const TempFolder folder;
  std::filesystem::copy(kModel + "/encoder.json", folder.path("encoder.json"));
  std::filesystem::copy(kModel + "/vocab.bpe", folder.path("vocab.bpe"));
  TokenizeOptions options;
  options.model = folder.path("");
  options.input = kModel + "/tokenizer_expected.jsonl";
  expect_reference(options, "bpe_ids", "decoded_bpe");
  options.tokenizer.newlines = Newlines::kEos;
  expect_error(ErrorKind::kUsage, {"--newlines eos", "dict.txt"}, [&] { tokenize(options); });
  // The dictionary may lie elsewhere, and so may all of the tokenizer.
  options.tokenizer.dictionary = kModel + "/dict.txt";
  options.tokenizer.newlines = Newlines::kKeep;
  expect_reference(options, "dict_ids", "decoded");
  options.model = "/nonexistent";
  options.tokenizer.directory = folder.path("");
  expect_reference(options, "dict_ids", "decoded");
}

TEST(Tokenize, TheEndOfTextTokenIsRecognisedIfThereIsOne) {
  const TempFolder folder;
  std::filesystem::copy(kModel + "/vocab.bpe", folder.path("vocab.bpe"));
  std::ifstream file(kModel + "/encoder.json");
  json::object encoder =
      json::parse(std::string(std::istreambuf_iterator<char>(file), {})).as_object();
  TokenizeOptions options;
  options.model = folder.path("");
  options.input = folder.write("in.jsonl", "{\"text\":\"a<|endoftext|> b<|endoftext|>\"}\n");
  const auto ids = [&] {
    folder.write("encoder.json", json::serialize(encoder));
    const json::object result = parse_lines(tokenize(options)).front();
    EXPECT_EQ(result.at("decoded").as_string(), "a<|endoftext|> b<|endoftext|>");
    return json::value_to<std::vector<int64_t>>(result.at("ids"));
  };
  encoder.erase("<|endoftext|>");
  const std::vector<int64_t> plain = ids();
  EXPECT_EQ(std::count(plain.begin(), plain.end(), 50256), 0);
  encoder["<|endoftext|>"] = 50256;
  const std::vector<int64_t> special = ids();
  ASSERT_EQ(special.size(), 4u);
  EXPECT_EQ(special[1], 50256);
  EXPECT_EQ(special[3], 50256);
}

TEST(Tokenize, NewlinesAndIdsAreHonoured) {
  TokenizeOptions options;
  options.model = kModel;
  const TemporaryFile input("in.jsonl",
                            "{\"id\":\"x\",\"text\":\"a\\nb\",\"other\":[{}]}\n\n"
                            "{\"text\":\"\",\"id\":7}\n");
  options.input = input.path();
  options.tokenizer.newlines = Newlines::kEos;
  const std::vector<json::object> got = parse_lines(tokenize(options));
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0].at("id").as_string(), "x");
  EXPECT_EQ(got[0].at("ids").as_array().at(1).as_int64(), 2);
  EXPECT_EQ(got[0].at("decoded").as_string(), "ab");
  EXPECT_EQ(json::serialize(got[1]), "{\"id\":7,\"ids\":[],\"decoded\":\"\"}");
}

TEST(Tokenize, LeavesNoMetaOfAnEarlierRun) {
  const TempFolder folder;
  folder.write("out.meta.json", "{}");
  folder.write("out.partial.meta.json", "{}");
  TokenizeOptions options;
  options.model = kModel;
  options.input = folder.write("in.jsonl", "{\"text\":\"a\"}\n");
  options.output = folder.path("out");
  run(options);
  EXPECT_EQ(folder.read("out").front(), '{');
  EXPECT_FALSE(std::filesystem::exists(folder.path("out.meta.json")));
  EXPECT_FALSE(std::filesystem::exists(folder.path("out.partial.meta.json")));
}

TEST(Tokenize, OtherTokenizersAndBrokenInputAreRefusedByName) {
  const TempFolder folder;
  TokenizeOptions options;
  options.model = folder.path("");
  options.input = kModel + "/tokenizer_expected.jsonl";
  const auto refuses = [&](std::initializer_list<std::string_view> parts) {
    expect_error(ErrorKind::kInput, parts, [&] { tokenize(options, 2); });
  };
  refuses({"holds no tokenizer", "encoder.json"});
  for (const char* name : {"tokenizer.json", "tokenizer.model", "spiece.model", "tiktoken.model",
                           "o200k_base.tiktoken"}) {
    const std::string path = folder.write(name, "{}");
    refuses({name});
    std::filesystem::remove(path);
  }
  options.model = folder.path("absent");
  refuses({"absent", "not a folder"});
  options.model = kModel;
  for (const auto& [line, what] : {std::pair{"{\"txt\":\"a\"}", "\"text\" is missing"},
                                   {"{\"text\":5}", "must be a string"},
                                   {"{\"text\":\"a\",\"text\":\"b\"}", "twice"},
                                   {"{\"text\":\"a\",\"id\":1.5}", "\"id\" must be"},
                                   {"\"text\"", "expected a JSON object"},
                                   {"{\"text\":\"\xFF\"}", "not UTF-8"}}) {
    options.input = folder.write("in.jsonl", std::string("{\"text\":\"good\"}\n") + line + "\n");
    refuses({"in.jsonl:2", what});
  }
}

}  // namespace
}  // namespace switchyard
