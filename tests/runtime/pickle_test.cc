#include "runtime/checkpoint/pickle.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/runtime/torch_writer.h"

namespace switchyard {
namespace {

using namespace std::string_literals;
using namespace pickle_text;
using Kind = PickleKind;

Pickle parse(const std::string& bytes, const PickleLimits& limits = {}) {
  return Pickle::parse({bytes.begin(), bytes.end()}, "a.pt: data.pkl", limits);
}

void expect_refused(const std::string& bytes, const std::string& why,
                    const PickleLimits& limits = {}) {
  const std::string message = error_of([&] { parse(bytes, limits); });
  EXPECT_NE(message.find(why), std::string::npos) << "got: '" << message << "'";
  EXPECT_NE(message.find("a.pt: data.pkl"), std::string::npos) << message;
}

PickleNode root_of(const std::string& object) {
  static std::vector<Pickle> kept;  // the nodes' texts point into these
  kept.push_back(parse("\x80\x02"s + object + "."));
  return kept.back()[kept.back().root()];
}

TEST(PickleTest, ReadsNumbers) {
  EXPECT_EQ(root_of("K\xff"s).integer, 255);
  EXPECT_EQ(root_of("M\xff\xff"s).integer, 65535);
  EXPECT_EQ(root_of("J\xfe\xff\xff\xff"s).integer, -2);
  EXPECT_EQ(root_of("\x8a\x00"s).integer, 0);
  EXPECT_EQ(root_of("\x8a\x01\xff"s).integer, -1);
  EXPECT_EQ(root_of("\x8a\x02\x00\x80"s).integer, -32768);
  EXPECT_EQ(root_of("\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80"s).integer, INT64_MIN);
  EXPECT_EQ(root_of("\x8b\x03\x00\x00\x00\x01\x02\x03"s).integer, 0x030201);
  const PickleNode wide = root_of("\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01"s);
  EXPECT_EQ(wide.kind, Kind::kBigInt);
  EXPECT_EQ(wide.text.size(), 9u);
  EXPECT_EQ(root_of("G\x3f\xf8\x00\x00\x00\x00\x00\x00"s).real, 1.5);
  EXPECT_EQ(root_of("\x88"s).integer, 1);
  EXPECT_EQ(root_of("\x89"s).kind, Kind::kBool);
  EXPECT_EQ(root_of("N"s).kind, Kind::kNone);
}

TEST(PickleTest, ReadsTextsAndBytes) {
  EXPECT_EQ(root_of("X\x02\x00\x00\x00hi"s).text, "hi");
  EXPECT_EQ(root_of("\x8c\x02hi"s).text, "hi");
  EXPECT_EQ(root_of("\x8d\x02\x00\x00\x00\x00\x00\x00\x00hi"s).text, "hi");
  EXPECT_EQ(root_of("U\x02hi"s).kind, Kind::kString);
  EXPECT_EQ(root_of("T\x02\x00\x00\x00hi"s).text, "hi");
  EXPECT_EQ(root_of("C\x02hi"s).kind, Kind::kBytes);
  EXPECT_EQ(root_of("B\x02\x00\x00\x00hi"s).text, "hi");
  EXPECT_EQ(root_of("\x95\x02\x00\x00\x00\x00\x00\x00\x00N"s).kind, Kind::kNone);
}

TEST(PickleTest, ReadsContainers) {
  EXPECT_EQ(root_of(numbers({1, 2, 3, 4})).items.size(), 4u);
  EXPECT_EQ(root_of("NN\x86"s).items.size(), 2u);
  EXPECT_EQ(root_of("](NNNe"s).items.size(), 3u);
  EXPECT_EQ(root_of("]Na"s).items.size(), 1u);
  EXPECT_EQ(root_of("\x8f(NN\x90"s).kind, Kind::kSet);
  EXPECT_EQ(root_of("(NN\x91"s).kind, Kind::kSet);
  EXPECT_EQ(root_of("(NNl"s).kind, Kind::kList);
  EXPECT_EQ(root_of("NN0"s).kind, Kind::kNone);
  EXPECT_EQ(root_of("N(NN1"s).kind, Kind::kNone);
  EXPECT_EQ(root_of("N2\x86"s).items.size(), 2u);
  const Pickle dict = parse(whole(pickle_text::dict({{"a", number(1)}, {"b", number(2)}})));
  EXPECT_EQ(dict[dict.find(dict.root(), "b")].integer, 2);
  EXPECT_EQ(dict.find(dict.root(), "c"), kNoPickleId);
  EXPECT_EQ(dict.find(dict.find(dict.root(), "a"), "x"), kNoPickleId);
}

TEST(PickleTest, OrderedDictIsADictAlsoWithState) {
  const Pickle pickle = parse(whole(call("collections", "OrderedDict", {}) + text("k") + number(7) +
                                    "s" + pickle_text::dict({{"_metadata", "N"}}) + "b"));
  EXPECT_EQ(pickle[pickle.root()].kind, Kind::kDict);
  EXPECT_EQ(pickle[pickle.find(pickle.root(), "k")].integer, 7);
  EXPECT_NE(pickle[pickle.root()].state, kNoPickleId);
}

TEST(PickleTest, ADictWithADefaultIsADict) {
  const Pickle pickle =
      parse(whole(call("collections", "defaultdict", {global("builtins", "dict")}) + text("k") +
                  number(7) + "s"));
  EXPECT_EQ(pickle[pickle.find(pickle.root(), "k")].integer, 7);
}

TEST(PickleTest, UnknownObjectsStayInert) {
  const Pickle pickle =
      parse(whole(call("posix", "system", {text("touch PWNED")}) + "(NNe" + "}b"));
  const PickleNode& node = pickle[pickle.root()];
  EXPECT_EQ(node.kind, Kind::kCall);
  EXPECT_EQ(node.items.size(), 2u);
  EXPECT_EQ(pickle.describe(pickle.root()), "a call of posix.system");
  EXPECT_TRUE(pickle.is_global(node.callable, "posix", "system"));
  const Pickle by_stack = parse(whole(text("m") + text("C") + "\x93)\x81"));
  EXPECT_EQ(by_stack.describe(by_stack.root()), "a call of m.C");
  const Pickle by_keywords = parse(whole(global("m", "C") + ")}\x92"));
  EXPECT_EQ(by_keywords.describe(by_keywords.root()), "a call of m.C");
}

TEST(PickleTest, MemoSharesNodes) {
  // A list that holds the one before twice, 60 times over: 2^60 elements as a tree, 61 nodes here.
  std::string bytes = "]q\x00"s;
  for (char i = 1; i <= 60; ++i) {
    bytes += "](h"s + static_cast<char>(i - 1) + "h" + static_cast<char>(i - 1) + "eq" + i;
  }
  std::string joined = "(" + bytes + "t";
  const Pickle pickle = parse("\x80\x02" + joined + ".");
  EXPECT_EQ(pickle.num_nodes(), 62u);
  const PickleNode& last = pickle[pickle[pickle.root()].items.back()];
  ASSERT_EQ(last.items.size(), 2u);
  EXPECT_EQ(last.items[0], last.items[1]);
}

TEST(PickleTest, AListMayHoldItself) {
  const Pickle pickle = parse("\x80\x02]q\x00h\x00"s + "a.");
  EXPECT_EQ(pickle[pickle.root()].items, std::vector<PickleId>{pickle.root()});
}

TEST(PickleTest, DepthIsNoProblem) {
  std::string nested = "\x80\x02)"s;
  nested.append(200000, '\x85');
  const Pickle tuples = parse(nested + ".");
  EXPECT_EQ(tuples.num_nodes(), 200001u);
  std::string marked = "\x80\x02"s + std::string(200000, '(') + std::string(200000, 't') + ".";
  EXPECT_EQ(parse(marked).num_nodes(), 200000u);
}

TEST(PickleTest, ManyNonesTakeOneNode) {
  EXPECT_EQ(parse("\x80\x02](" + std::string(100000, 'N') + "e.").num_nodes(), 2u);
}

TEST(PickleTest, NamesByteAndOpcodeOfAnError) {
  expect_refused("\x80\x02X\xff\x00\x00\x00hi"s,
                 "byte 2, opcode BINUNICODE (88): needs 255 bytes, but only 2 are left");
  expect_refused("\x80\x02\x8d\x00\x00\x00\x00\x00\x00\x00\x40hi"s,
                 "opcode BINUNICODE8 (141): needs 4611686018427387904 bytes");
  expect_refused("\x80\x02I12\n."s, "byte 2, opcode INT (73): is not supported");
  expect_refused("\x80\x02\xff."s, "opcode of no known name (255)");
  expect_refused("\x80\x02(N"s, "byte 4: the data ends without STOP");
  expect_refused("", "byte 0: the data ends");
}

TEST(PickleTest, RefusesWhatDoesNotFit) {
  expect_refused("\x80\x01N."s, "protocol 1");
  expect_refused("\x80\x06N."s, "protocol 6");
  expect_refused("\x80\x02."s, "0 objects are left");
  expect_refused("\x80\x02NN."s, "2 objects are left");
  expect_refused("\x80\x02N(."s, "left at the end");
  expect_refused("\x80\x02\x85."s, "empty stack");
  expect_refused("\x80\x02N(0."s, "empty stack");
  expect_refused("\x80\x02Nt."s, "no mark");
  expect_refused("\x80\x02h\x05."s, "memo index 5 was never set");
  expect_refused("\x80\x02q\x05."s, "empty stack");
  expect_refused("\x80\x02Nr\xff\xff\xff\xff."s, "memo index 4294967295 is beyond");
  expect_refused("\x80\x02NNa."s, "adds items to None");
  expect_refused("\x80\x02](NNu."s, "adds items to a list");
  expect_refused("\x80\x02}(Nu."s, "a key has no value");
  expect_refused("\x80\x02NNb."s, "sets the state of None");
  expect_refused("\x80\x02NN\x93."s, "the name is None");
  expect_refused("\x80\x02" + "c"s + std::string(5000, 'm'), "a name has no end");
  expect_refused("\x80\x02\x95\xff\x00\x00\x00\x00\x00\x00\x00."s, "a frame of 255 bytes");
}

TEST(PickleTest, ReadsTheStartOfALongerText) {
  const std::string one = whole(pickle_text::dict({{"name", text("value")}, {"n", number(7)}}) +
                                "0" + call("m", "C", {number(int64_t{1} << 40)}));
  const std::string bytes = one + "more";
  for (size_t have = 0; have <= bytes.size(); ++have) {
    const auto pickle = Pickle::parse_start(std::string_view(bytes).substr(0, have), bytes.size(),
                                            "a.pt: data.pkl");
    ASSERT_EQ(pickle.has_value(), have >= one.size()) << have;
    if (pickle) {
      EXPECT_EQ(pickle->length(), one.size());
    }
  }
  // What cannot end within the text is an error at once.
  const std::string huge = "\x80\x02\x8d\x00\x00\x00\x00\x00\x00\x00\x40hi"s;
  const auto error_for = [&](const std::string& start, uint64_t available) {
    return error_of([&] { Pickle::parse_start(start, available, "a.pt: data.pkl"); });
  };
  EXPECT_NE(error_for(huge, 1000).find("but only 989 are left"), std::string::npos);
  EXPECT_NE(error_for("\x80\x02N"s, 3).find("ends without STOP"), std::string::npos);
  EXPECT_NE(error_for("\x80\x02"s + "c" + std::string(5000, 'm'), 100000).find("no end"),
            std::string::npos);
  EXPECT_EQ(error_for("\x80\x02"s + "cmm", 100000), "");
}

TEST(PickleTest, KeepsItsLimits) {
  PickleLimits limits;
  limits.max_nodes = 100;
  limits.max_items = 50;
  limits.max_stack = 200;
  limits.max_bytes = 400;
  const auto made = [](const std::string& unit, int count, const std::string& end) {
    std::string bytes = "\x80\x02"s;
    for (int i = 0; i < count; ++i) bytes += unit;
    return bytes + end;
  };
  expect_refused(made("]0", 101, "N."), "more than 100 objects", limits);
  EXPECT_NO_THROW(parse(made("]0", 99, "N."), limits));
  expect_refused("\x80\x02](" + std::string(51, 'N') + "e.", "more than 50 items", limits);
  EXPECT_NO_THROW(parse("\x80\x02](" + std::string(50, 'N') + "e.", limits));
  expect_refused(made("N", 201, "."), "more than 200 objects on the stack", limits);
  expect_refused(std::string(401, 'N'), "401 bytes are more than the limit of 400", limits);
  expect_refused("\x80\x02Nr\x64\x00\x00\x00."s, "memo index 100 is beyond", limits);
}

}  // namespace
}  // namespace switchyard
