#include "runtime/checkpoint/torch_file.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/runtime/temp_folder.h"
#include "tests/runtime/torch_writer.h"

namespace switchyard {
namespace {

using namespace std::string_literals;
using namespace pickle_text;

constexpr int64_t kHuge = int64_t{1} << 62;

/// A file whose `model` holds the tensor `t`, over one storage of six fp32 numbers.
std::vector<ZipItem> items_with(const std::string& value) {
  return {{"a/data.pkl", whole(pickle_text::dict({{"model", pickle_text::dict({{"t", value}})}}))},
          {"a/data/0", std::string(24, 'x')}};
}

class TorchFileTest : public testing::Test {
 protected:
  TorchFile read(const std::string& bytes) {
    RandomFile file(folder_.write("a.pt", bytes));
    return read_torch_file(file);
  }
  TorchTensor tensor_of(const TensorText& parts) {
    return read(write_zip(items_with(tensor(parts)))).tensors.at(0);
  }
  void expect_refused(const std::string& bytes, const std::string& why) {
    const std::string message = error_of([&] { read(bytes); });
    EXPECT_NE(message.find(why), std::string::npos) << "got: '" << message << "'";
    EXPECT_NE(message.find("a.pt"), std::string::npos) << message;
  }
  void expect_tensor_refused(const std::string& value, const std::string& why) {
    expect_refused(write_zip(items_with(value)), "tensor 't': ");
    expect_refused(write_zip(items_with(value)), why);
  }

  TempFolder folder_;
};

TEST_F(TorchFileTest, GivesPlaceShapeAndType) {
  const std::vector<ZipItem> items = items_with(tensor({}));
  const int64_t storage = static_cast<int64_t>(write_zip(items).find("xxxxxx"));
  TorchTensor whole_tensor = tensor_of({});
  EXPECT_EQ(whole_tensor.name, "t");
  EXPECT_EQ(whole_tensor.storage_type, "FloatStorage");
  EXPECT_EQ(whole_tensor.entry.dtype, DType::kF32);
  EXPECT_EQ(whole_tensor.entry.offset, storage);
  EXPECT_EQ(whole_tensor.entry.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(whole_tensor.entry.strides, (std::vector<int64_t>{3, 1}));
  EXPECT_TRUE(whole_tensor.entry.is_contiguous());
  const TorchTensor view = tensor_of({.offset = 1, .shape = {2, 2}, .strides = {1, 3}});
  EXPECT_EQ(view.entry.offset, storage + 4);
  EXPECT_EQ(view.places.at(0).first, 1);
  EXPECT_FALSE(view.entry.is_contiguous());
}

TEST_F(TorchFileTest, KnowsTheStorageTypes) {
  const auto type_of = [&](const char* type, int64_t elements) {
    return tensor_of({.type = type, .storage_elements = elements, .shape = {1}, .strides = {1}});
  };
  EXPECT_EQ(type_of("HalfStorage", 12).entry.dtype, DType::kF16);
  EXPECT_EQ(type_of("BFloat16Storage", 12).entry.dtype, DType::kBF16);
  EXPECT_EQ(type_of("LongStorage", 3).entry.dtype, DType::kI64);
  EXPECT_EQ(type_of("IntStorage", 6).entry.dtype, DType::kI32);
  EXPECT_EQ(type_of("ByteStorage", 24).entry.dtype, DType::kU8);
  EXPECT_EQ(type_of("DoubleStorage", 3).support, TensorSupport::kUnknownType);
  expect_tensor_refused(tensor({.type = "EvilStorage"}), "unknown type the object torch.Evil");
}

TEST_F(TorchFileTest, AcceptsHarmlessForms) {
  EXPECT_EQ(tensor_of({.location = "cuda:3"}).entry.shape.size(), 2u);
  EXPECT_EQ(tensor_of({.offset = 5, .shape = {}, .strides = {}}).entry.num_elements(), 1);
  EXPECT_EQ(tensor_of({.offset = 6, .shape = {0, 4}, .strides = {4, 1}}).entry.num_elements(), 0);
  EXPECT_EQ(tensor_of({.shape = {5, 6}, .strides = {0, 1}}).entry.num_elements(), 30);
  const std::string parameter =
      call("torch._utils", "_rebuild_parameter",
           {tensor({}), flag(true), call("collections", "OrderedDict", {})});
  EXPECT_EQ(read(write_zip(items_with(parameter))).tensors.size(), 1u);
  const std::string with_state =
      call("torch._utils", "_rebuild_parameter_with_state", {tensor({}), flag(true), "}", "}"});
  EXPECT_EQ(read(write_zip(items_with(with_state))).tensors.size(), 1u);
  // A tensor with attributes: (function, class, arguments, state).
  std::string arguments = tensor({});
  const std::string function = global("torch._utils", "_rebuild_tensor_v2");
  ASSERT_TRUE(arguments.starts_with(function) && arguments.ends_with("R"));
  arguments = arguments.substr(function.size(), arguments.size() - function.size() - 1);
  const std::string with_attributes = call("torch._tensor", "_rebuild_from_type_v2",
                                           {function, global("torch", "Tensor"), arguments, "}"});
  EXPECT_EQ(read(write_zip(items_with(with_attributes))).tensors.at(0).entry.shape.size(), 2u);
  std::vector<ZipItem> items = items_with(tensor({}));
  items.push_back({"a/byteorder", "little"});
  EXPECT_EQ(read(write_zip(items, ZipFormat::kZip64)).tensors.size(), 1u);
}

TEST_F(TorchFileTest, RefusesTensorsOutsideTheirStorage) {
  expect_tensor_refused(tensor({.offset = 1}), "reaches beyond its storage of 6 elements");
  expect_tensor_refused(tensor({.strides = {4, 1}}), "beyond");
  expect_tensor_refused(tensor({.offset = 7, .shape = {0}, .strides = {1}}), "beyond");
  expect_tensor_refused(tensor({.offset = 6, .shape = {}, .strides = {}}), "beyond");
  expect_tensor_refused(tensor({.shape = {kHuge, kHuge}, .strides = {kHuge, kHuge}}), "beyond");
  expect_tensor_refused(
      tensor({.shape = std::vector<int64_t>(8, kHuge), .strides = std::vector<int64_t>(8, kHuge)}),
      "beyond");
  expect_tensor_refused(tensor({.shape = {int64_t{1} << 40, 1 << 30}, .strides = {0, 0}}),
                        "more elements than can be counted");
  expect_tensor_refused(tensor({.offset = -1}), "its offset is the number -1");
  expect_tensor_refused(tensor({.shape = {2, -3}}), "its shape is the number -3");
  expect_tensor_refused(tensor({.strides = {-3, 1}}), "its strides is the number -3");
  expect_tensor_refused(tensor({.shape = {2}}), "1 sizes but 2 strides");
  expect_tensor_refused(tensor({.shape = std::vector<int64_t>(9, 1)}), "at most 8");
}

TEST_F(TorchFileTest, RefusesStoragesOfAnotherSize) {
  expect_tensor_refused(tensor({.storage_elements = 7}), "has 24 bytes; expected 7 elements");
  expect_tensor_refused(tensor({.storage_elements = 5}), "has 24 bytes; expected 5 elements");
  expect_tensor_refused(tensor({.storage_elements = kHuge}), "has 24 bytes");
  expect_tensor_refused(tensor({.key = "1"}), "'a/data/1' is missing in the archive");
  expect_tensor_refused(tensor({.key = "../0"}), "'a/data/../0' is missing");
}

TEST_F(TorchFileTest, RefusesValuesThatAreNoTensors) {
  expect_tensor_refused(call("builtins", "eval", {text("1")}),
                        "expected a tensor, found a call of builtins.eval");
  expect_tensor_refused("N", "expected a tensor, found None");
  expect_tensor_refused(call("torch._utils", "_rebuild_tensor_v2", {"N"}), "1 values");
  expect_tensor_refused(call("torch._utils", "_rebuild_parameter", {}), "without its tensor");
  expect_tensor_refused(call("torch._utils", "_rebuild_tensor_v2", {"N", "N", "N", "N"}),
                        "its storage is None");
  expect_tensor_refused(call("torch._utils", "_rebuild_tensor_v2", {"NQ", "N", "N", "N"}),
                        "described by None");
  expect_tensor_refused(global("torch._utils", "_rebuild_tensor_v2") + "NR", "no tuple");
  expect_tensor_refused(call("torch._tensor", "_rebuild_from_type_v2", {"N", "N"}), "arguments");
  std::string nested = tensor({});
  for (int i = 0; i < 6; ++i) nested = call("torch._utils", "_rebuild_parameter", {nested});
  expect_tensor_refused(nested, "expected a tensor");
}

TEST_F(TorchFileTest, RefusesOtherObjects) {
  const auto file_of = [](const std::string& object) {
    return write_zip({{"a/data.pkl", whole(object)}});
  };
  expect_refused(file_of("N"), "found None");
  expect_refused(file_of("}"), "whose 'model' is nothing");
  expect_refused(file_of(pickle_text::dict({{"model", "]"}})), "whose 'model' is a list of 0");
  expect_refused(file_of(pickle_text::dict({{"model", "}N" + tensor({}) + "s"}})),
                 "a key of 'model' is None");
  const std::string twice = pickle_text::dict({{"t", tensor({})}, {"t", tensor({})}});
  expect_refused(write_zip({{"a/data.pkl", whole(pickle_text::dict({{"model", twice}}))},
                            {"a/data/0", std::string(24, 'x')}}),
                 "tensor 't': stands twice");
}

TEST_F(TorchFileTest, RefusesOtherContainers) {
  expect_refused("", "the file is empty");
  expect_refused("PK", "not a torch checkpoint: it starts with 'PK'");
  expect_refused("just a text\x01 of some length", "it starts with 'just a text\\x01 of '");
  expect_refused("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20"s, "not a torch checkpoint");
  expect_refused(write_zip({{"data.pkl", "x"}}), "its first entry is 'data.pkl'");
  expect_refused(write_zip({{"a/other", "x"}}), "it has no 'a/data.pkl'");
  std::vector<ZipItem> items = items_with(tensor({}));
  items.push_back({"a/constants.pkl", "x"});
  expect_refused(write_zip(items), "TorchScript");
  items.back() = {"a/byteorder", "big"};
  expect_refused(write_zip(items), "byte order is 'big'");
  items.back() = {"a/byteorder", std::string(17, 'b')};
  expect_refused(write_zip(items), "at most 16");
}

}  // namespace
}  // namespace switchyard
