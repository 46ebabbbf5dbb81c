// Files that end early, at every byte where that matters.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "tests/runtime/checkpoint_case_writer.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

/// A file of a checkpoint, and where its tensors' contents start and end.
struct Truncated {
  const char* folder;
  const char* file;
  ContainerForm form;
};

class TruncationTest : public testing::TestWithParam<Truncated> {
 protected:
  TruncationTest() {
    for (const auto& entry :
         std::filesystem::directory_iterator(kData + "/fairseq/" + GetParam().folder)) {
      if (entry.path().extension() == ".pt") std::filesystem::copy(entry.path(), folder_.path(""));
    }
    bytes_ = folder_.read(GetParam().file);
  }

  /// Cuts the file, which is longer, to `length` bytes.
  void expect_refused_at(size_t length) {
    std::filesystem::resize_file(folder_.path(GetParam().file), length);
    const std::string message = error_of([&] { open_folder(folder_.path("")); });
    EXPECT_NE(message.find(GetParam().file), std::string::npos)
        << "cut to " << length << " bytes: '" << message << "'";
  }

  TempFolder folder_;
  std::string bytes_;
};

TEST_P(TruncationTest, IsRefusedAndNamesTheFile) {
  folder_.write(GetParam().file, bytes_ + std::string(100, '\0'));
  EXPECT_NE(error_of([&] { open_folder(folder_.path("")); }), "");
  folder_.write(GetParam().file, bytes_);
  EXPECT_EQ(error_of([&] { open_folder(folder_.path("")); }), "");
  // The first and the last bytes one by one, where the headers are; the others in steps.
  constexpr size_t kDense = 700;
  const size_t head = GetParam().form == ContainerForm::kLegacy ? 3000 : kDense;
  size_t length = bytes_.size();
  while (length-- > bytes_.size() - kDense) expect_refused_at(length);
  for (; length > head; length -= std::min<size_t>(487, length)) expect_refused_at(length);
  for (length = std::min(length, head); length-- > 0;) expect_refused_at(length);
}

INSTANTIATE_TEST_SUITE_P(
    Files, TruncationTest,
    testing::Values(Truncated{"cfg_args_only_dense", "model.pt", ContainerForm::kZip},
                    Truncated{"dense_legacy_container", "model.pt", ContainerForm::kLegacy},
                    Truncated{"files_fsdp_3_shards", "model-shard1.pt", ContainerForm::kZip},
                    Truncated{"cfg_dictconfig", "model-shared.pt", ContainerForm::kZip}),
    [](const testing::TestParamInfo<Truncated>& one) { return std::string(one.param.folder); });

/// Replaces a file of a good checkpoint.
std::string error_with(const std::string& folder, const std::string& file,
                       const std::string& bytes) {
  const TempFolder copy;
  for (const auto& entry : std::filesystem::directory_iterator(kData + "/fairseq/" + folder)) {
    if (entry.path().extension() == ".pt") std::filesystem::copy(entry.path(), copy.path(""));
  }
  copy.write(file, bytes);
  return error_of([&] { open_folder(copy.path("")); });
}

TEST(WrongCheckpointTest, OtherContents) {
  const std::string zip_start = "PK\x03\x04";
  for (const std::string& bytes :
       {std::string(5000, '\0'), std::string(5000, '\xff'), zip_start + std::string(5000, 'x'),
        std::string("{\"a\": 1}"), std::string(300, '\x80')}) {
    for (const char* file : {"model-shared.pt", "model-rank-1.pt"}) {
      expect_parts(error_with("cfg_dictconfig", file, bytes), {file});
    }
    expect_parts(error_with("files_fsdp_3_shards", "model-shard2.pt", bytes), {"model-shard2.pt"});
  }
}

TEST(WrongCheckpointTest, FilesOfAnotherCheckpoint) {
  const auto with = [](const std::string& folder, const std::string& file,
                       const std::string& other) {
    std::ifstream stream(kData + "/fairseq/" + other, std::ios::binary);
    return error_with(folder, file, std::string(std::istreambuf_iterator<char>(stream), {}));
  };
  expect_parts(with("cfg_dictconfig", "model-rank-1.pt", "moe_legacy_container/model-rank-1.pt"),
               {"model-rank-1.pt", "different checkpoints"});
  expect_parts(with("files_fsdp_3_shards", "model-shard1.pt", "dense_legacy_container/model.pt"),
               {"model-shard1.pt", "whole tensors"});
  expect_parts(
      with("files_moe_shard_names", "model-shared-shard1.pt", "names_legacy_v3/model-shared.pt"),
      {"model-shared-shard1.pt", "model-shared-shard0.pt"});
  expect_parts(
      with("moe_legacy_container", "model-rank-1.pt", "moe_legacy_container/model-shared.pt"),
      {"model-rank-1.pt", "holds no tensors of experts"});
  expect_parts(
      with("moe_legacy_container", "model-shared.pt", "moe_legacy_container/model-rank-0.pt"),
      {"model-shared.pt", "belongs to an expert"});
}

}  // namespace
}  // namespace switchyard
