#include "runtime/checkpoint/fairseq_files.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/runtime/fairseq_case.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

TEST(FairseqFilesTest, FindsOneCheckpoint) {
  const auto found = [](const std::vector<std::string>& names) {
    const TempFolder folder;
    for (const std::string& name : names) folder.write(name, "x");
    std::string text;
    const std::string message = error_of([&] {
      for (const FairseqFile& file : find_fairseq_files(folder.path(""))) {
        text += std::filesystem::path(file.path).filename().string() + " ";
      }
    });
    return message.empty() ? text : message;
  };
  EXPECT_EQ(found({"model.pt", "dict.txt", "optimizer.pth"}), "model.pt ");
  EXPECT_EQ(found({"model.pt", "checkpoint1.pt"}), "model.pt ");
  EXPECT_EQ(found({"checkpoint_best.pt"}), "checkpoint_best.pt ");
  EXPECT_EQ(found({"a-b-shared.pt", "a-b-rank-0.pt"}), "a-b-shared.pt a-b-rank-0.pt ");
  EXPECT_EQ(found({"m-shared.pt", "m-rank-1.pt", "m-rank-0.pt", "m-rank-2.pt"}),
            "m-shared.pt m-rank-0.pt m-rank-1.pt m-rank-2.pt ");
  expect_parts(found({"checkpoint1.pt", "checkpoint2.pt"}),
               {"several checkpoints (checkpoint1, checkpoint2)"});
  expect_parts(found({"x"}), {"holds no checkpoint"});
  expect_parts(found({"model.pt", "model-shared.pt"}), {"model.pt: stands beside"});
  expect_parts(found({"model.pt", "model-rank-0.pt"}), {"model.pt: stands beside"});
  expect_parts(found({"model-shared.pt"}), {"model-rank-0.pt: is missing"});
  expect_parts(found({"model-shared.pt", "model-rank-1.pt"}), {"model-rank-0.pt: is missing"});
  expect_parts(found({"model-rank-0.pt"}), {"model-shared.pt: is missing"});
  EXPECT_EQ(found({"model-shard0.pt", "model-shard10.pt", "model-shard2.pt", "model-shard1.pt"}),
            "model-shard0.pt model-shard1.pt model-shard2.pt model-shard10.pt ");
  EXPECT_EQ(found({"model-shared-shard1.pt", "model-shared-shard0.pt", "model-shared.pt",
                   "model-rank-1-shard1.pt", "model-rank-0-shard0.pt"}),
            "model-shared.pt model-shared-shard0.pt model-shared-shard1.pt "
            "model-rank-0-shard0.pt model-rank-1-shard1.pt ");
  EXPECT_EQ(found({"m-shared-shard3.pt", "m-rank-0.pt"}), "m-shared-shard3.pt m-rank-0.pt ");
  EXPECT_EQ(found({"model-shard01.pt"}), "model-shard01.pt ");  // a stem like any other
  expect_parts(found({"m-shared.pt", "m-rank-0.pt", "m-rank-0-shard0.pt"}),
               {"m-rank-0.pt: rank 0 stands there twice", "m-rank-0-shard0.pt"});
  expect_parts(found({"m-shared.pt", "m-rank-0-shard1.pt", "m-rank-0-shard0.pt"}), {"twice"});
  expect_parts(found({"m-shared-shard0.pt", "m-rank-1-shard1.pt"}),
               {"m-rank-0.pt: is missing, but m-rank-1-shard1.pt"});
  expect_parts(found({"m-shard0.pt", "m-shared-shard0.pt", "m-rank-0-shard0.pt"}),
               {"m-shard0.pt: stands beside m-shared-shard0.pt"});
  expect_parts(found({"m-shared-shard0.pt"}), {"m-rank-0.pt: is missing"});
  expect_parts(found({"m-rank-0-shard0.pt"}), {"m-shared.pt: is missing"});
  expect_parts(error_of([] { find_fairseq_files("/no/such/folder"); }),
               {"/no/such/folder", "not a folder"});
}

}  // namespace
}  // namespace switchyard
