// Stages of tokenizer.json one by one; expected values are of tokenizers 0.22.2.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/json/decoder.h"
#include "runtime/tokenizer/json/normalizer.h"
#include "runtime/tokenizer/json/post_processor.h"
#include "runtime/tokenizer/json/pre_tokenizer.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

using Texts = std::vector<std::string>;

std::string normalize(std::string_view entry, std::string_view text) {
  const boost::json::value json = boost::json::parse(entry);
  NormalizedText normalized{std::string(text)};
  make_normalizer(JsonNode(json, "f: normalizer"))->apply(normalized);
  return normalized.text;
}

Texts cut(std::string_view entry, std::string_view text) {
  const boost::json::value json = boost::json::parse(entry);
  Words words(std::string(text), 1);
  make_pre_tokenizer(JsonNode(json, "f: pre_tokenizer"))->apply(words);
  Texts result;
  for (const TextSpan& span : words.spans()) result.emplace_back(words.text_of(span));
  return result;
}

std::string decode(std::string_view entry, Texts pieces) {
  const boost::json::value json = boost::json::parse(entry);
  make_decoder(JsonNode(json, "f: decoder"))->apply(pieces);
  std::string text;
  for (const std::string& piece : pieces) text += "[" + piece + "]";
  return text;
}

TEST(TokenizerJsonNormalizer, NormalFormsAreThoseOfUnicode9) {
  EXPECT_EQ(normalize(R"({"type": "NFC"})", "e\u0301\u1EBF"), "\u00E9\u1EBF");
  EXPECT_EQ(normalize(R"({"type": "NFKC"})", "\uFB01\u00B2\u32FF\uFF21"), "fi2\u32FFA");
  EXPECT_EQ(normalize(R"({"type": "NFKD"})", "\u00BD\u0345\u0301\u00E9"),
            "1\u2044"
            "2\u0301\u0345e\u0301");
  // U+1DF6 is of Unicode 10: to the library it is no mark, and none passes it.
  EXPECT_EQ(normalize(R"({"type": "NFD"})", "\u00E9\u1DF6\u0323\u1EAF"),
            "e\u0301\u1DF6\u0323"
            "a\u0306\u0301");
}

TEST(TokenizerJsonNormalizer, ManyMarksTakeAboutLinearTime) {
  std::string marks = "a";
  std::string sorted = "\u1EA1";
  for (int i = 0; i < 100'000; ++i) marks += "\u0301\u0323";
  for (int i = 0; i < 99'999; ++i) sorted += "\u0323";
  for (int i = 0; i < 100'000; ++i) sorted += "\u0301";
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(normalize(R"({"type": "NFC"})", marks), sorted);
  EXPECT_EQ(normalize(R"({"type": "NFKC"})", marks), sorted);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST(TokenizerJsonNormalizer, SimpleMappings) {
  EXPECT_EQ(normalize(R"({"type": "Lowercase"})", "ΑΣ \u0130É\u1E9E"), "ασ i\u0307éß");
  EXPECT_EQ(normalize(R"({"type": "StripAccents"})", "e\u0301\u1DF6\u1CF2x"), "e\u1DF6x");
  EXPECT_EQ(normalize(R"({"type": "Nmt"})", "a\x01\tb\u200B\u2581\x7F\uFEFFc"), "a b   c");
  EXPECT_EQ(normalize(R"({"type": "ByteLevel"})", "é \n"), "Ã©ĠĊ");
  EXPECT_EQ(
      normalize(R"({"type": "Strip", "strip_left": true, "strip_right": true})", "\u3000 é é \n"),
      "é é");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": false, "strip_right": true})", "  a  "),
            "  a");
  EXPECT_EQ(normalize(R"({"type": "Strip", "strip_left": true, "strip_right": true})", " \n "), "");
  EXPECT_EQ(normalize(R"({"type": "Prepend", "prepend": "▁"})", "a"), "▁a");
  EXPECT_EQ(normalize(R"({"type": "Prepend", "prepend": "▁"})", ""), "");
  EXPECT_EQ(normalize(R"({"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "$1"})",
                      "a   b c"),
            "a$1b c");
  EXPECT_EQ(normalize(R"({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]})",
                      " a b"),
            "▁▁a▁b");
}

TEST(TokenizerJsonNormalizer, RefusesOthersByName) {
  const auto refused = [](std::string_view entry, std::string_view why) {
    expect_error(ErrorKind::kInput, {"f: normalizer", why}, [&] { normalize(entry, "a"); });
  };
  refused(R"({"type": "BertNormalizer"})", "'BertNormalizer' are not supported");
  refused(R"({"type": 5})", "normalizer.type: expected a string");
  refused(R"({})", "lacks the entry \"type\"");
  refused(R"([])", "expected an object");
  refused(R"({"type": "Strip", "strip_left": 1})", "strip_left: expected true or false");
  refused(R"({"type": "Prepend"})", "lacks the entry \"prepend\"");
  refused(R"({"type": "Precompiled", "precompiled_charsmap": "?"})", "base64");
  refused(R"({"type": "Precompiled", "precompiled_charsmap": ""})", "found 0 bytes");
  refused(R"({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Foo"}]})",
          "normalizers[1]: normalizers of type 'Foo'");
  refused(R"({"type": "Replace", "pattern": {"Regex": "x*"}, "content": ""})", "can be empty");
  refused(R"({"type": "Replace", "pattern": {"Regex": "("}, "content": ""})", "pattern.Regex");
}

TEST(TokenizerJsonPreTokenizer, CutsAsTheReferenceDoes) {
  const std::string text = "Hi, it's 12½三 ok_1！  x\n";
  EXPECT_EQ(cut(R"({"type": "Punctuation"})", text),
            (Texts{"Hi", ",", " it", "'", "s 12½三 ok", "_", "1", "！", "  x\n"}));
  EXPECT_EQ(cut(R"({"type": "Punctuation", "behavior": "MergedWithPrevious"})", text),
            (Texts{"Hi,", " it'", "s 12½三 ok_", "1！", "  x\n"}));
  EXPECT_EQ(cut(R"({"type": "Whitespace"})", text),
            (Texts{"Hi", ",", "it", "'", "s", "12", "½", "三", "ok_1", "！", "x"}));
  EXPECT_EQ(cut(R"({"type": "WhitespaceSplit"})", text),
            (Texts{"Hi,", "it's", "12½三", "ok_1！", "x"}));
  EXPECT_EQ(cut(R"({"type": "Digits", "individual_digits": true})", text),
            (Texts{"Hi, it's ", "1", "2", "½", "三 ok_", "1", "！  x\n"}));
  EXPECT_EQ(cut(R"({"type": "Digits", "individual_digits": false})", text),
            (Texts{"Hi, it's ", "12½", "三 ok_", "1", "！  x\n"}));
  EXPECT_EQ(cut(R"({"type": "CharDelimiterSplit", "delimiter": "i"})", text),
            (Texts{"H", ", ", "t's 12½三 ok_1！  x\n"}));
  EXPECT_EQ(cut(R"({"type": "BertPreTokenizer"})", text),
            (Texts{"Hi", ",", "it", "'", "s", "12½三", "ok", "_", "1", "！", "x"}));
  EXPECT_EQ(cut(R"({"type": "ByteLevel", "add_prefix_space": true})", "a's é"),
            (Texts{"Ġa", "'s", "ĠÃ©"}));
  EXPECT_EQ(cut(R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": false})", "a é"),
            (Texts{"aĠÃ©"}));
}

TEST(TokenizerJsonPreTokenizer, MetaspaceMarksWords) {
  const std::string text = " a b  c";
  const auto entry = [](const std::string& settings) {
    return R"({"type": "Metaspace", "replacement": "▁")" + settings + "}";
  };
  const auto after_words = [&](const std::string& settings) {
    return R"({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, )" +
           entry(settings) + "]}";
  };
  EXPECT_EQ(cut(entry(""), text), (Texts{"▁a", "▁b", "▁", "▁c"}));
  EXPECT_EQ(cut(entry(R"(, "split": false)"), text), (Texts{"▁a▁b▁▁c"}));
  EXPECT_EQ(cut(entry(R"(, "add_prefix_space": true)"), "ab"), (Texts{"▁ab"}));
  EXPECT_EQ(cut(entry(R"(, "prepend_scheme": "never")"), "a b"), (Texts{"a", "▁b"}));
  EXPECT_EQ(cut(after_words(""), text), (Texts{"▁a", "▁b", "▁c"}));
  EXPECT_EQ(cut(after_words(R"(, "prepend_scheme": "first")"), "a b"), (Texts{"▁a", "b"}));
  EXPECT_EQ(cut(after_words(R"(, "prepend_scheme": "first")"), text), (Texts{"a", "b", "c"}));
}

TEST(TokenizerJsonPreTokenizer, RefusesOthersByName) {
  const auto refused = [](std::string_view entry, std::string_view why) {
    expect_error(ErrorKind::kInput, {"f: pre_tokenizer", why}, [&] { cut(entry, "a"); });
  };
  refused(R"({"type": "UnicodeScripts"})", "'UnicodeScripts' are not supported");
  refused(R"({"type": "Split", "pattern": {"String": "a"}, "behavior": "Gone", "invert": false})",
          "behavior: expected one of Removed, Isolated");
  refused(R"({"type": "Split", "pattern": {}, "behavior": "Removed", "invert": false})",
          "lacks the entry \"Regex\"");
  refused(R"({"type": "Metaspace", "replacement": "ab"})", "a string of one character");
  refused(R"({"type": "Metaspace", "replacement": "_", "prepend_scheme": "last"})",
          "always, first, never");
  refused(R"({"type": "Metaspace", "replacement": "_", "add_prefix_space": false})",
          "\"prepend_scheme\" is not \"never\"");
  refused(R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel", "add_prefix_space": true},
          {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"}]})",
          "pretokenizers[1]: \"prepend_scheme\" \"first\" is not supported after");
}

TEST(TokenizerJsonDecoder, DecodesAsTheReferenceDoes) {
  EXPECT_EQ(decode(R"({"type": "ByteLevel"})", {"Ã", "©Ġa", "<s x>", "Ã"}), "[é a<s x>\uFFFD]");
  EXPECT_EQ(
      decode(R"({"type": "ByteFallback"})", {"a", "<0xC3>", "<0xa9>", "b", "<0xC3>", "<0xC3>"}),
      "[a][é][b][\uFFFD][\uFFFD]");
  EXPECT_EQ(decode(R"({"type": "ByteFallback"})", {"<0xG0>", "<0x4>", "<0x041>"}),
            "[<0xG0>][<0x4>][<0x041>]");
  EXPECT_EQ(decode(R"({"type": "Fuse"})", {"a", "b"}), "[ab]");
  EXPECT_EQ(decode(R"({"type": "Metaspace", "replacement": "▁"})", {"▁▁a", "▁b▁"}), "[a][ b ]");
  EXPECT_EQ(decode(R"({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "never"})",
                   {"▁a", "▁b"}),
            "[ a][ b]");
  EXPECT_EQ(decode(R"({"type": "Strip", "content": " ", "start": 1, "stop": 0})", {"  a ", " "}),
            "[ a ][]");
  EXPECT_EQ(decode(R"({"type": "Strip", "content": "▁", "start": 0, "stop": 2})", {"▁a▁▁▁"}),
            "[▁a▁]");
  EXPECT_EQ(decode(R"({"type": "BPEDecoder", "suffix": "</w>"})", {"a</w>b</w>", "c</w>"}),
            "[a b ][c]");
  EXPECT_EQ(decode(R"({"type": "Sequence", "decoders": [
                   {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "Fuse"},
                   {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})",
                   {"▁a", "▁b"}),
            "[a b]");
}

TEST(TokenizerJsonDecoder, RefusesOthersByName) {
  const auto refused = [](std::string_view entry, std::string_view why) {
    expect_error(ErrorKind::kInput, {"f: decoder", why}, [&] { decode(entry, {"a"}); });
  };
  refused(R"({"type": "CTC"})", "'CTC' are not supported");
  refused(R"({"type": "WordPiece", "prefix": "##", "cleanup": true})", "'WordPiece'");
  refused(R"({"type": "Strip", "content": " ", "start": -1, "stop": 0})",
          "start: expected a whole");
  refused(R"({"type": "BPEDecoder", "suffix": ""})", "empty");
}

PostProcessor read_post(std::string_view entry) {
  const boost::json::value json = boost::json::parse(entry);
  return read_post_processor(JsonNode(json, "f: post_processor"));
}

TEST(TokenizerJsonPostProcessor, AddsIdsAroundOneText) {
  const std::string tokens =
      R"("special_tokens": {"S": {"id": "S", "ids": [3, 4]}, "E": {"id": "E", "ids": [5]}}})";
  const std::string text = R"({"Sequence": {"id": "A", "type_id": 0}})";
  const std::string start = R"({"SpecialToken": {"id": "S", "type_id": 0}})";
  const std::string end = R"({"SpecialToken": {"id": "E", "type_id": 0}})";
  const auto with = [&](const std::string& single) {
    return R"({"type": "TemplateProcessing", "single": [)" + single + "], " + tokens;
  };
  const PostProcessor both = read_post(with(start + "," + text + "," + end));
  EXPECT_EQ(both.prefix, (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(both.suffix, (std::vector<int32_t>{5}));
  const PostProcessor sequence =
      read_post(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"}, )" +
                with(text + "," + end) + "]}");
  EXPECT_TRUE(sequence.prefix.empty());
  EXPECT_EQ(sequence.suffix, (std::vector<int32_t>{5}));
  const PostProcessor bert =
      read_post(R"({"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]})");
  EXPECT_EQ(bert.prefix, (std::vector<int32_t>{0}));
  EXPECT_EQ(bert.suffix, (std::vector<int32_t>{2}));

  const auto refused = [](const std::string& entry, std::string_view why) {
    expect_error(ErrorKind::kInput, {"f: post_processor", why}, [&] { read_post(entry); });
  };
  refused(with(start), "stands there 0 times");
  refused(with(text + "," + text), "stands there 2 times");
  refused(with(R"({"Sequence": {"id": "B"}})"), "a single text is called A");
  refused(with(R"({"SpecialToken": {"id": "X"}},)" + text), "lacks the entry \"X\"");
  refused(R"({"type": "Sequence", "processors": [)" + with(text + "," + end) + "," +
              with(start + "," + text) + "]}",
          "processors[1]: a second post-processor that adds tokens");
  refused(R"({"type": "Other"})", "'Other' are not supported");
}

}  // namespace
}  // namespace switchyard
