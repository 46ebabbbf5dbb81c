// The container before torch 1.6.
#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "runtime/checkpoint/torch_file.h"
#include "tests/runtime/temp_folder.h"
#include "tests/runtime/torch_writer.h"

namespace switchyard {
namespace {

using namespace std::string_literals;
using namespace pickle_text;

std::string model_of(const std::string& tensors) { return pickle_text::dict({{"model", tensors}}); }

/// The tensor `t`, six fp32 numbers in the storage "0".
std::string model_with(const TensorText& parts) {
  return model_of(pickle_text::dict({{"t", tensor(parts)}}));
}

const LegacyStorage kSix = {"0", std::string(24, 'x'), 6};

class LegacyTorchFileTest : public testing::Test {
 protected:
  TorchFile read(const std::string& bytes) {
    RandomFile file(folder_.write("a.pt", bytes));
    TorchFile torch = read_torch_file(file);
    bytes_read_ = file.bytes_read();
    return torch;
  }
  void expect_refused(const std::string& bytes, const std::string& why) {
    const std::string message = error_of([&] { read(bytes); });
    EXPECT_NE(message.find(why), std::string::npos) << "got: '" << message << "'";
    EXPECT_NE(message.find("a.pt"), std::string::npos) << message;
  }

  TempFolder folder_;
  int64_t bytes_read_ = 0;
};

TEST_F(LegacyTorchFileTest, GivesPlaceShapeAndType) {
  const std::string bytes = write_legacy(model_with({}), {kSix});
  const TorchFile torch = read(bytes);
  ASSERT_EQ(torch.tensors.size(), 1u);
  const TorchTensor& one = torch.tensors[0];
  EXPECT_EQ(one.entry.offset, static_cast<int64_t>(bytes.find("xxxxxx")));
  EXPECT_EQ(one.entry.dtype, DType::kF32);
  EXPECT_EQ(one.entry.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(one.places, (std::vector<StoragePlace>{{0, 6, 0}}));
}

TEST_F(LegacyTorchFileTest, KeysOfStoragesAreShort) {
  // Many objects may refer to one key, and each would hold a copy.
  const std::string key(1000, '7');
  expect_refused(write_legacy(model_with({.key = key}), {{key, std::string(24, 'x'), 6}}),
                 "key of 1000 bytes");
}

TEST_F(LegacyTorchFileTest, StoragesStandInTheOrderOfTheList) {
  const std::string object = model_of(pickle_text::dict(
      {{"a", tensor({.key = "9"})},
       {"b", tensor({.key = "10", .type = "HalfStorage", .shape = {6}, .strides = {1}})},
       {"c", tensor({.key = "9", .offset = 4, .shape = {2}, .strides = {1}})}}));
  const std::string bytes =
      write_legacy(object, {{"10", std::string(12, 'h'), 6}, {"9", std::string(24, 'f'), 6}});
  const TorchFile torch = read(bytes);
  EXPECT_EQ(torch.tensors[0].entry.offset, static_cast<int64_t>(bytes.find("ffffff")));
  EXPECT_EQ(torch.tensors[1].entry.offset, static_cast<int64_t>(bytes.find("hhhhhh")));
  EXPECT_EQ(torch.tensors[2].entry.offset, torch.tensors[0].entry.offset + 16);
}

TEST_F(LegacyTorchFileTest, HonoursViewsOfAStorage) {
  const std::string view = tuple({text("v"), number(2), number(3)});
  const std::string bytes =
      write_legacy(model_with({.offset = 1, .shape = {2}, .strides = {1}, .view = view}), {kSix});
  const TorchTensor seen = read(bytes).tensors.at(0);
  EXPECT_EQ(seen.places[0].first, 3);
  EXPECT_EQ(seen.entry.offset, static_cast<int64_t>(bytes.find("xxxxxx")) + 12);
  EXPECT_EQ(read(write_legacy(model_with({.view = "N"}), {kSix})).tensors[0].places[0].first, 0);
  expect_refused(write_legacy(model_with({.view = view}), {kSix}),
                 "reaches beyond its storage of 3 elements");
  const auto with_view = [&](int64_t first, int64_t count) {
    return write_legacy(model_with({.view = tuple({text("v"), number(first), number(count)})}),
                        {kSix});
  };
  expect_refused(with_view(4, 3), "the view of 3 elements from element 4");
  expect_refused(with_view(7, 0), "the view of 0 elements from element 7");
  expect_refused(with_view(-1, 3), "the number -1");
  expect_refused(with_view(int64_t{1} << 62, int64_t{1} << 62), "the view of");
  expect_refused(write_legacy(model_with({.view = text("v")}), {kSix}),
                 "view of its storage is the string 'v'");
}

TEST_F(LegacyTorchFileTest, OtherPersistentObjectsAreIgnored) {
  const std::string module =
      tuple({text("module"), global("m", "C"), text("m.py"), text("")}) + "Q";
  const std::string object =
      pickle_text::dict({{"extra", module}, {"model", pickle_text::dict({{"t", tensor({})}})}});
  EXPECT_EQ(read(write_legacy(object, {kSix})).tensors.size(), 1u);
  expect_refused(write_legacy(pickle_text::dict({{"extra", "NQ"}, {"model", "}"}}), {}),
                 "an object: its storage is described by None");
}

TEST_F(LegacyTorchFileTest, TheListMustBeThatOfTheObjects) {
  const LegacyStorage other = {"1", std::string(4, 'y'), 1};
  expect_refused(write_legacy(model_with({}), {}), "storage '0' is not in the file's list");
  expect_refused(write_legacy(model_with({}), {kSix, other}), "storage '1' belongs to no object");
  expect_refused(write_legacy(model_with({}), {kSix, kSix}), "storage '0' stands twice");
  expect_refused(write_legacy(model_with({}), {{"0", std::string(20, 'x'), 5}}),
                 "storage '0' has 5 elements");
  expect_refused(write_legacy(model_with({.storage_elements = int64_t{1} << 60}),
                              {{"0", "", int64_t{1} << 60}}),
                 "ends outside the file");
  const std::string twice = model_of(pickle_text::dict(
      {{"a", tensor({})}, {"b", tensor({.type = "HalfStorage", .shape = {2}, .strides = {1}})}}));
  expect_refused(write_legacy(twice, {kSix}), "6 elements of FloatStorage and as 6 of HalfStorage");
  expect_refused(write_legacy(model_with({.type = "EvilStorage"}), {kSix}),
                 "unknown type the object torch.EvilStorage");
  expect_refused(write_legacy(model_with({.storage_elements = -1}), {kSix}), "the number -1");
}

TEST_F(LegacyTorchFileTest, TheFileMustEndWithTheLastStorage) {
  const std::string bytes = write_legacy(model_with({}), {kSix});
  expect_refused(bytes + "x", concat("the file has ", bytes.size() + 1, " bytes"));
  expect_refused(bytes.substr(0, bytes.size() - 1), "truncated");
  expect_refused(bytes.substr(0, bytes.size() - 25), "truncated");
}

TEST_F(LegacyTorchFileTest, ChecksTheWriter) {
  LegacyHeadText head;
  head.protocol = whole(number(1002));
  expect_refused(write_legacy(model_with({}), {kSix}, head), "protocol is the number 1002");
  head = {};
  head.system = whole(pickle_text::dict({{"little_endian", flag(false)}}));
  expect_refused(write_legacy(model_with({}), {kSix}, head), "'little_endian' is False");
  head.system = whole("}");
  expect_refused(write_legacy(model_with({}), {kSix}, head), "'little_endian' is nothing");
  head.system = whole("N");
  expect_refused(write_legacy(model_with({}), {kSix}, head), "'little_endian' is nothing");
  head = {};
  head.magic = "\x80\x04\x95\x0c\x00\x00\x00\x00\x00\x00\x00"s + head.magic.substr(2);
  EXPECT_EQ(read(write_legacy(model_with({}), {kSix}, head)).tensors.size(), 1u);
}

TEST_F(LegacyTorchFileTest, KeysMustBeAListOfTexts) {
  const std::string good = write_legacy(model_with({}), {kSix});
  const std::string list = whole(pickle_text::list({text("0")}));
  const auto with_keys = [&](const std::string& keys) {
    std::string bytes = good;
    return bytes.replace(bytes.find(list), list.size(), whole(keys));
  };
  expect_refused(with_keys("N"), "list of storages is None");
  expect_refused(with_keys(pickle_text::list({number(0)})), "key is the number 0");
}

TEST_F(LegacyTorchFileTest, ReadsNoStorageOfALargeFile) {
  // A file with a hole of 5 GiB: more than memory would be pleasant for, and beyond 32 bits.
  constexpr int64_t kElements = int64_t{5} << 28;
  const TensorText parts = {.storage_elements = kElements, .shape = {kElements}, .strides = {1}};
  const std::string head = write_legacy(model_with(parts), {{"0", "", kElements}});
  const std::string path = folder_.write("a.pt", head);
  std::filesystem::resize_file(path, head.size() + 4 * static_cast<uint64_t>(kElements));
  RandomFile file(path);
  EXPECT_EQ(read_torch_file(file).tensors.at(0).entry.offset, static_cast<int64_t>(head.size()));
  EXPECT_LT(file.bytes_read(), 100000);
}

TEST_F(LegacyTorchFileTest, ReadsALongHeadInPieces) {
  std::vector<std::pair<std::string, std::string>> tensors;
  std::vector<LegacyStorage> storages;
  for (int i = 0; i < 3000; ++i) {
    const std::string key = std::to_string(i);
    tensors.emplace_back("t" + key, tensor({.key = key}));
    storages.push_back({key, std::string(24, 'x'), 6});
  }
  const std::string object = model_of(pickle_text::dict(tensors));
  ASSERT_GT(object.size(), 400000u);
  EXPECT_EQ(read(write_legacy(object, storages)).tensors.size(), 3000u);
  // Each byte once, and at most as many behind the head as it has.
  EXPECT_LT(bytes_read_, 2 * static_cast<int64_t>(object.size()) + 200000);
}

TEST_F(LegacyTorchFileTest, RefusesATarFile) {
  std::string tar(1024, '\0');
  tar.replace(0, 8, "sys_info");
  tar.replace(257, 5, "ustar");
  expect_refused(tar, "tar archive");
}

}  // namespace
}  // namespace switchyard
