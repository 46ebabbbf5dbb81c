#include "runtime/checkpoint/pickle_writer.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "runtime/checkpoint/pickle.h"

namespace switchyard {
namespace {

Pickle parse(PickleWriter& writer) {
  const std::string bytes = writer.finish();
  return Pickle::parse({bytes.begin(), bytes.end()}, "test");
}

TEST(PickleWriterTest, NumbersOfEveryWidthAreReadBack) {
  std::vector<int64_t> values = {0, 1, 255, 256, 65535, 65536, -1, -256};
  for (const int64_t edge : {int64_t{std::numeric_limits<int32_t>::min()},
                             int64_t{std::numeric_limits<int32_t>::max()}}) {
    values.insert(values.end(), {edge - 1, edge, edge + 1});
  }
  values.push_back(std::numeric_limits<int64_t>::min());
  values.push_back(std::numeric_limits<int64_t>::max());
  PickleWriter writer;
  writer.begin_list();
  for (const int64_t value : values) writer.integer(value);
  writer.end_list();
  const Pickle pickle = parse(writer);
  const PickleNode& list = pickle[pickle.root()];
  ASSERT_EQ(list.items.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(pickle[list.items[i]].kind, PickleKind::kInt);
    EXPECT_EQ(pickle[list.items[i]].integer, values[i]);
  }
}

TEST(PickleWriterTest, ValuesAndContainersAreReadBack) {
  PickleWriter writer;
  writer.begin_dict();
  writer.text("none");
  writer.none();
  writer.text("yes");
  writer.boolean(true);
  writer.text("no");
  writer.boolean(false);
  writer.text("real");
  writer.real(-0.1);
  writer.text("text");
  writer.text(
      "Gr\xC3\xBC\xC3\x9F"
      "e");
  writer.text("empty");
  writer.begin_tuple();
  writer.begin_dict();
  writer.end_dict();
  writer.begin_list();
  writer.end_list();
  writer.begin_tuple();
  writer.end_tuple();
  writer.end_tuple();
  writer.end_dict();
  const Pickle pickle = parse(writer);
  const auto at = [&](const char* key) { return pickle[pickle.find(pickle.root(), key)]; };
  EXPECT_EQ(at("none").kind, PickleKind::kNone);
  EXPECT_EQ(at("yes").integer, 1);
  EXPECT_EQ(at("no").integer, 0);
  EXPECT_EQ(at("no").kind, PickleKind::kBool);
  EXPECT_EQ(at("real").real, -0.1);
  EXPECT_EQ(at("text").text,
            "Gr\xC3\xBC\xC3\x9F"
            "e");
  ASSERT_EQ(at("empty").items.size(), 3u);
  EXPECT_EQ(pickle[at("empty").items[0]].kind, PickleKind::kDict);
  EXPECT_EQ(pickle[at("empty").items[1]].kind, PickleKind::kList);
  EXPECT_EQ(pickle[at("empty").items[2]].kind, PickleKind::kTuple);
}

TEST(PickleWriterTest, CallsAndPersistentObjectsAreReadBack) {
  PickleWriter writer;
  writer.begin_ordered_dict();
  writer.text("a");
  writer.global("torch", "Size");
  writer.begin_tuple();
  writer.integer(7);
  writer.end_tuple();
  writer.call();
  writer.text("b");
  writer.text("key");
  writer.persistent();
  writer.end_dict();
  const Pickle pickle = parse(writer);
  EXPECT_EQ(pickle[pickle.root()].kind, PickleKind::kDict);
  const PickleNode& call = pickle[pickle.find(pickle.root(), "a")];
  ASSERT_EQ(call.kind, PickleKind::kCall);
  EXPECT_TRUE(pickle.is_global(call.callable, "torch", "Size"));
  EXPECT_EQ(pickle[pickle[call.arguments].items.at(0)].integer, 7);
  const PickleNode& object = pickle[pickle.find(pickle.root(), "b")];
  ASSERT_EQ(object.kind, PickleKind::kPersistent);
  EXPECT_EQ(pickle[object.items.at(0)].text, "key");
}

TEST(PickleWriterTest, BytesAreThoseOfProtocolTwo) {
  PickleWriter writer;
  writer.begin_tuple();
  writer.integer(3);
  writer.real(1.0);
  writer.text("x");
  writer.end_tuple();
  EXPECT_EQ(writer.finish(), std::string("\x80\x02(K\x03G\x3f\xf0\0\0\0\0\0\0X\x01\0\0\0xt.", 22));
}

}  // namespace
}  // namespace switchyard
