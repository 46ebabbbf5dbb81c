#include "runtime/checkpoint/safetensors_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>

#include "tests/runtime/expect_error.h"
#include "tests/runtime/safetensors_case.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

const std::string kBad = std::string(SWITCHYARD_TEST_DATA) + "/hf/bad/";

class SafetensorsFileTest : public testing::Test {
 protected:
  std::vector<TorchTensor> read(const std::string& bytes) const {
    RandomFile file(folder_.write("x.safetensors", bytes));
    return read_safetensors_header(file);
  }

  std::string refuses(const std::string& bytes,
                      std::initializer_list<std::string_view> parts) const {
    SCOPED_TRACE(bytes);
    const std::string message = expect_error(ErrorKind::kInput, parts, [&] { read(bytes); });
    EXPECT_NE(message.find("x.safetensors"), std::string::npos) << message;
    return message;
  }

  /// A header of one tensor 'a'.
  static std::string one(const std::string& dtype, const std::string& shape,
                         const std::string& range) {
    return R"({"a":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + range +
           "}}";
  }

  TempFolder folder_;
};

TEST_F(SafetensorsFileTest, TellsWhereTensorsAreInTheOrderOfTheirData) {
  const std::string header = R"({"b":{"dtype":"F32","shape":[1],"data_offsets":[5,9]},)"
                             R"("__metadata__":{"format":"pt"},)"
                             R"("a":{"shape":[5],"data_offsets":[0,5],"dtype":"F8_E4M3"},)"
                             R"("s":{"dtype":"BF16","shape":[],"data_offsets":[9,11]},)"
                             R"("e":{"dtype":"I64","shape":[3,0,2],"data_offsets":[5,5]}}  )";
  const std::vector<TorchTensor> tensors = read(safetensors(header, std::string(11, 'x')));
  const auto data = static_cast<int64_t>(8 + header.size());
  ASSERT_EQ(tensors.size(), 4u);
  EXPECT_EQ(tensors[0].name, "a");
  EXPECT_EQ(tensors[0].storage_type, "F8_E4M3");
  EXPECT_EQ(tensors[0].entry.dtype, DType::kU8);
  EXPECT_EQ(tensors[0].entry.offset, data);
  EXPECT_EQ(tensors[1].name, "e");
  EXPECT_EQ(tensors[1].entry.shape, (std::vector<int64_t>{3, 0, 2}));
  EXPECT_EQ(tensors[2].name, "b");
  EXPECT_EQ(tensors[2].entry.offset, data + 5);
  EXPECT_EQ(tensors[2].places, (std::vector<StoragePlace>{{5, 11, 0}}));
  EXPECT_EQ(tensors[3].entry.num_elements(), 1);
  EXPECT_EQ(tensors[3].entry.dtype, DType::kBF16);
  for (const TorchTensor& tensor : tensors) {
    EXPECT_EQ(tensor.support, TensorSupport::kReadable);
    EXPECT_TRUE(tensor.entry.is_contiguous());
  }
  EXPECT_TRUE(read(safetensors("{}", "")).empty());
}

TEST_F(SafetensorsFileTest, KnowsEveryTypeOfTheFormat) {
  const std::map<std::string, int> bytes_of_eight = {
      {"BOOL", 8},        {"U8", 8},     {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8},
      {"F8_E4M3FNUZ", 8}, {"I16", 16},   {"U16", 16}, {"F16", 16},    {"BF16", 16},
      {"F8_E5M2FNUZ", 8}, {"I32", 32},   {"U32", 32}, {"F32", 32},    {"F8_E8M0", 8},
      {"C64", 64},        {"F64", 64},   {"I64", 64}, {"U64", 64},    {"F4", 4},
      {"F6_E2M3", 6},     {"F6_E3M2", 6}};
  for (const auto& [name, bytes] : bytes_of_eight) {
    SCOPED_TRACE(name);
    const std::string header = one(name, "[2,4]", concat("[0,", bytes, "]"));
    const std::string data(static_cast<size_t>(bytes), 'x');
    const std::vector<TorchTensor> tensors = read(safetensors(header, data));
    ASSERT_EQ(tensors.size(), 1u);
    EXPECT_EQ(tensors[0].storage_type, name);
    if (tensors[0].support == TensorSupport::kReadable) {
      EXPECT_EQ(tensors[0].entry.bytes(), bytes);
    }
  }
  EXPECT_EQ(read(safetensors(one("F64", "[1]", "[0,8]"), "12345678"))[0].support,
            TensorSupport::kUnknownType);
  refuses(safetensors(one("F4", "[3]", "[0,2]"), "12"), {"'a'", "3 elements of 4 bits"});
}

TEST_F(SafetensorsFileTest, RefusesWrongHeadersByName) {
  const std::string four(4, 'x');
  refuses("1234", {"4 bytes"});
  refuses("", {"0 bytes"});
  refuses(safetensors("{}", four), {"end at byte 10"});
  refuses(std::string(8, '\xff') + "{}", {"declares a header"});
  refuses(safetensors("[]", ""), {"no JSON object"});
  refuses(safetensors("", ""), {"no JSON object"});
  refuses(safetensors(" {}", ""), {"no JSON object"});
  refuses(safetensors("{", ""), {"no valid JSON"});
  refuses(safetensors("{}{}", ""), {"no valid JSON", "byte 2"});
  refuses(safetensors("{\"\xff\":1}", ""), {"UTF-8", "byte 2"});
  refuses(safetensors(R"({"a":[1]})", ""), {"'a'", "expected an object"});
  refuses(safetensors(R"({"a":{"dtype":"U8","shape":[0]}})", ""), {"'a'", "data_offsets"});
  refuses(safetensors(one("F33", "[1]", "[0,4]"), four), {"'a'", "F33"});
  refuses(safetensors(one("f32", "[1]", "[0,4]"), four), {"'a'", "f32"});
  refuses(safetensors(one("F32", "[-1]", "[0,4]"), four), {"'a'", "-1"});
  refuses(safetensors(one("F32", "[1.0]", "[0,4]"), four), {"'a'", "numbers from 0 up"});
  refuses(safetensors(one("F32", "[9223372036854775808]", "[0,4]"), four), {"'a'", "92233720"});
  refuses(safetensors(one("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), four), {"'a'", "at most 8"});
  refuses(safetensors(one("F32", "[2]", "[0,4]"), four), {"'a'", "span 4 bytes"});
  refuses(safetensors(one("F32", "[1]", "[0,5]"), four), {"'a'", "no range"});
  refuses(safetensors(one("F32", "[1]", "[4,0]"), four), {"'a'", "no range"});
  refuses(safetensors(one("F32", "[1]", "[4]"), four), {"'a'", "no range"});
  refuses(safetensors(one("F32", "[1]", "[4,8]"), four + four), {"'a'", "gap", "byte"});
  refuses(safetensors(one("F32", "[4294967296,4294967296]", "[0,4]"), four), {"'a'", "counted"});
  refuses(safetensors(one("F32", "[4611686018427387904,0,4]", "[0,0]"), ""), {"'a'", "counted"});
  refuses("version https://git-lfs.github.com/spec/v1\n", {"git lfs pull"});
}

TEST_F(SafetensorsFileTest, RefusesNamesThatStandTwice) {
  const std::string a = R"("a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  refuses(safetensors("{" + a + "," + a + "}", ""), {"'a' twice"});
  // The same name in another spelling.
  refuses(
      safetensors("{" + a + R"(,"\u0061":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", ""),
      {"'a' twice"});
  refuses(safetensors(R"({"a":{"dtype":"U8","shape":[0],"shape":[1],"data_offsets":[0,0]}})", ""),
          {"'shape' twice"});
  refuses(safetensors(R"({"__metadata__":{},"__metadata__":{}})", ""), {"'__metadata__' twice"});
}

TEST_F(SafetensorsFileTest, RefusesMetadataThatIsNoText) {
  EXPECT_TRUE(read(safetensors(R"({"__metadata__":{"a":"b","c":""}})", "")).empty());
  refuses(safetensors(R"({"__metadata__":{"a":1}})", ""), {"__metadata__", "strings"});
  refuses(safetensors(R"({"__metadata__":"a"})", ""), {"__metadata__", "strings"});
}

TEST_F(SafetensorsFileTest, BoundsWhatAHeaderCosts) {
  refuses(safetensors(R"({"a":{"dtype":"U8","shape":[[0]],"data_offsets":[0,0]}})", ""),
          {"no valid JSON"});
  refuses(safetensors(std::string(100'000, '['), ""), {"no JSON object"});
  refuses(safetensors("{\"a\":" + std::string(100'000, '['), ""), {"no valid JSON"});
  refuses(safetensors("{\"" + std::string(5000, 'n') + "\":1}", ""), {"1024 bytes", "nnn"});
  std::string many = "{\"a\":[0";
  for (int i = 0; i < (5 << 20); ++i) many += ",0";
  const std::string message = expect_error(ErrorKind::kInput, {"more than 4194304 values"},
                                           [&] { read(safetensors(many + "]}", "")); });
  EXPECT_LT(message.size(), 1000u);
}

TEST_F(SafetensorsFileTest, JudgesFilesAsTheReferenceImplementation) {
  int num_refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kBad)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("st-")) continue;
    SCOPED_TRACE(name);
    RandomFile file(entry.path().string());
    if (name.starts_with("st-ok-")) {
      EXPECT_EQ(read_safetensors_header(file).size(), 2u);
      continue;
    }
    expect_error(ErrorKind::kInput, {name}, [&] { read_safetensors_header(file); });
    EXPECT_LE(file.bytes_read(), file.size());
    ++num_refused;
  }
  EXPECT_EQ(num_refused, 17);
}

TEST_F(SafetensorsFileTest, EveryTruncationIsRefused) {
  const std::string whole = safetensors(
      {{"a", "F32", {2, 3}, std::string(24, 'x')}, {"b", "U8", {5}, std::string(5, 'y')}});
  EXPECT_EQ(read(whole).size(), 2u);
  const std::string path = folder_.path("x.safetensors");
  for (size_t length = whole.size(); length-- > 0;) {
    SCOPED_TRACE(length);
    std::filesystem::resize_file(path, length);
    RandomFile file(path);
    expect_error(ErrorKind::kInput, {"x.safetensors"}, [&] { read_safetensors_header(file); });
  }
}

}  // namespace
}  // namespace switchyard
