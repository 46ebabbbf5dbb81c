#include "runtime/checkpoint/safetensors_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "runtime/checkpoint/safetensors_file.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

/// Byte i of tensor t is a function of both.
char byte_at(size_t tensor, int64_t byte) {
  return static_cast<char>(byte * 7 + static_cast<int64_t>(tensor) * 31);
}

TEST(SafetensorsWriterTest, WritesWhatItsReaderReads) {
  const SafetensorsPlan plan = {{{"w", "F32", {300, 1001}},
                                 {"a \"quoted\" näme\n", "BF16", {3}},
                                 {"empty", "I64", {0, 7}},
                                 {"scalar", "U8", {}},
                                 {"codes", "F8_E4M3", {5, 1, 3}}},
                                {{"format", "pt"}}};
  const std::vector<int64_t> item_bytes = {4, 2, 8, 1, 1};
  const TempFolder folder;
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    StagedFile staged(folder.path("m.safetensors"));
    int64_t told = 0;
    const auto fill = [&](size_t tensor, int64_t first, int64_t count, void* to) {
      const int64_t item = item_bytes[tensor];
      for (int64_t i = 0; i < count * item; ++i) {
        static_cast<char*>(to)[i] = byte_at(tensor, first * item + i);
      }
    };
    write_safetensors_file(
        plan, fill, pool, [&](int64_t bytes) { told += bytes; }, staged);
    staged.publish();

    RandomFile file(folder.path("m.safetensors"));
    const std::vector<TorchTensor> tensors = read_safetensors_header(file);
    int64_t data_bytes = 0;
    ASSERT_EQ(tensors.size(), plan.tensors.size());
    EXPECT_EQ(tensors[0].entry.offset % 8, 0);
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(tensors[i].name, plan.tensors[i].name);
      EXPECT_EQ(tensors[i].storage_type, plan.tensors[i].type);
      EXPECT_EQ(tensors[i].entry.shape, plan.tensors[i].shape);
      const int64_t bytes = tensors[i].entry.bytes();
      data_bytes += bytes;
      std::string data(static_cast<size_t>(bytes), 0);
      file.read_at(tensors[i].entry.offset, bytes, data.data(), "data");
      for (int64_t at = 0; at < bytes; ++at) {
        ASSERT_EQ(data[static_cast<size_t>(at)], byte_at(i, at)) << i << " at " << at;
      }
    }
    EXPECT_EQ(told, data_bytes);
    EXPECT_NE(folder.read("m.safetensors").find(R"("__metadata__":{"format":"pt"})"),
              std::string::npos);
  }
}

TEST(SafetensorsWriterTest, AFileWithoutTensorsIsWellFormed) {
  const TempFolder folder;
  ThreadPool pool(1);
  StagedFile staged(folder.path("m.safetensors"));
  write_safetensors_file(
      {}, {}, pool, [](int64_t) {}, staged);
  staged.publish();
  EXPECT_EQ(folder.read("m.safetensors"), std::string("\x08\0\0\0\0\0\0\0{}      ", 16));
  RandomFile file(folder.path("m.safetensors"));
  EXPECT_TRUE(read_safetensors_header(file).empty());
}

TEST(SafetensorsWriterTest, NamesTheRuntimesTypes) {
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kI32, DType::kI64, DType::kU8}) {
    const SafetensorsType* type = find_safetensors_type(safetensors_type_name(dtype));
    ASSERT_NE(type, nullptr);
    EXPECT_EQ(type->dtype, dtype);
    EXPECT_EQ(type->bits, 8 * size_of(dtype));
  }
}

}  // namespace
}  // namespace switchyard
