// Several copies of the shared part, as trainings with sharded state leave them.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/thread_communicator.h"
#include "tests/runtime/checkpoint_case_writer.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

using Change = std::function<void(std::vector<RawTensor>&)>;

RawTensor& named(std::vector<RawTensor>& tensors, const std::string& name) {
  for (RawTensor& tensor : tensors) {
    if (tensor.name == name) return tensor;
  }
  throw std::runtime_error("no tensor " + name);
}

/// A small mixture of experts whose shared part can be written many times.
class CheckpointCopiesTest : public testing::Test {
 protected:
  static constexpr const char* kSource = "cfg_dictconfig";

  CheckpointCopiesTest() : original_(open_folder(kData + "/fairseq/" + kSource)) {
    for (int rank = 0; rank < 2; ++rank) {
      const std::string name = concat("model-rank-", rank, ".pt");
      std::filesystem::copy(kData + "/fairseq/" + kSource + "/" + name, folder_.path(name));
    }
  }

  void write_copy(const std::string& name, ContainerForm form, const Change& change = {}) {
    std::vector<RawTensor> tensors;
    for (const TorchTensor& tensor : headers_of(kSource)[0].tensors) {
      tensors.push_back(read_raw(original_, tensor.name));
    }
    if (change) change(tensors);
    const FairseqSettings& settings = headers_of(kSource)[0].config.settings;
    folder_.write(name, write_torch_file(tensors, {{"cfg", cfg_pickle(settings)}}, form));
  }
  std::string opening_error() {
    return error_of([&] { open_folder(folder_.path("")); });
  }

  TempFolder folder_;
  const Checkpoint original_;
};

TEST_F(CheckpointCopiesTest, EqualCopiesAreOne) {
  write_copy("model-shared.pt", ContainerForm::kZip);
  write_copy("model-shared-shard0.pt", ContainerForm::kZip);
  write_copy("model-shared-shard7.pt", ContainerForm::kLegacy);
  const Checkpoint checkpoint = open_folder(folder_.path(""));
  expect_same_tensors(checkpoint, original_);
  EXPECT_EQ(checkpoint.index.files.size(), 5u);
  EXPECT_EQ(checkpoint.index.at("decoder.embed_tokens.weight").file, 0);
}

TEST_F(CheckpointCopiesTest, OnlyUnequalChecksumsCostReading) {
  write_copy("model-shared-shard0.pt", ContainerForm::kZip);
  write_copy("model-shared-shard1.pt", ContainerForm::kZip);
  EXPECT_TRUE(collect_fairseq_parts(read_headers(folder_.path(""))).unproven.empty());
  write_copy("model-shared-shard1.pt", ContainerForm::kLegacy);
  const std::vector<FairseqHeader> headers = read_headers(folder_.path(""));
  const FairseqParts parts = collect_fairseq_parts(headers);
  // All but the leftover of the position table.
  EXPECT_EQ(parts.unproven.size(), headers[0].tensors.size() - 1);
}

TEST_F(CheckpointCopiesTest, UnequalCopiesAreRefused) {
  const std::string name = "decoder.layers.0.fc1.weight";
  const std::vector<std::pair<Change, std::string>> changes = {
      {[&](auto& tensors) { named(tensors, name).bytes[77] ^= 1; }, "has other contents"},
      {[&](auto& tensors) { named(tensors, name).name = "decoder.extra"; }, "is missing"},
      {[&](auto& tensors) {
         tensors.push_back(named(tensors, name));
         tensors.back().name = "decoder.extra";
       },
       "'decoder.extra' is missing in"},
      {[&](auto& tensors) {
         std::swap(named(tensors, name).shape[0], named(tensors, name).shape[1]);
       },
       "another shape or type"},
      {[&](auto& tensors) {
         named(tensors, name).dtype = DType::kF16;
         named(tensors, name).shape[1] *= 2;
       },
       "another shape or type"},
  };
  for (const ContainerForm form : {ContainerForm::kZip, ContainerForm::kLegacy}) {
    write_copy("model-shared.pt", form);
    for (const auto& [change, problem] : changes) {
      write_copy("model-shared-shard1.pt", form, change);
      expect_parts(opening_error(), {folder_.path("model-shared-shard1.pt"),
                                     folder_.path("model-shared.pt"), problem});
    }
  }
}

TEST_F(CheckpointCopiesTest, LeftoversMayDiffer) {
  write_copy("model-shared.pt", ContainerForm::kLegacy);
  write_copy("model-shared-shard0.pt", ContainerForm::kLegacy, [](auto& tensors) {
    named(tensors, "decoder.embed_positions._float_tensor").bytes[0] ^= 1;
  });
  EXPECT_EQ(opening_error(), "");
}

TEST_F(CheckpointCopiesTest, EveryRankIsToldOfUnequalBytes) {
  write_copy("model-shared.pt", ContainerForm::kLegacy);
  write_copy("model-shared-shard0.pt", ContainerForm::kLegacy,
             [](auto& tensors) { named(tensors, "decoder.layer_norm.bias").bytes[5] ^= 1; });
  std::mutex mutex;
  std::multiset<std::string> messages;
  run_ranks(3, {}, {}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    const std::string message = error_of([&] { open_checkpoint(folder_.path(""), control); });
    const std::lock_guard<std::mutex> lock(mutex);
    messages.insert(message);
  });
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages.count(*messages.begin()), 3u);
  expect_parts(*messages.begin(), {"model-shared-shard0.pt", "decoder.layer_norm.bias"});
}

TEST_F(CheckpointCopiesTest, AnExpandedTensorIsNotComparedElementByElement) {
  std::vector<FairseqHeader> headers = headers_of("files_moe_shard_names");
  for (size_t file = 0; file < 2; ++file) {
    TorchTensor extra = tensor(headers[file], "decoder.version");
    extra.name = "criterion.weight";
    extra.entry.shape = {int64_t{1} << 50};
    extra.entry.strides = {0};
    extra.places[0].crc32 = 0;
    headers[file].tensors.push_back(extra);
  }
  expect_parts(error_of([&] { collect_fairseq_parts(headers); }),
               {"model-shared-shard1.pt", "criterion.weight", "more elements than its storage"});
}

TEST_F(CheckpointCopiesTest, ADenseCheckpointBesideItsShards) {
  const std::string shards = kData + "/fairseq/files_fsdp_3_shards";
  const Checkpoint flat = open_folder(shards);
  const auto write_whole = [&](const Change& change) {
    std::vector<RawTensor> tensors = read_all(flat);
    if (change) change(tensors);
    folder_.write("f-model.pt", write_torch_file(tensors, {}));
  };
  const TempFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(shards)) {
    std::filesystem::copy(entry.path(), folder.path(""));
  }
  write_whole({});
  std::filesystem::copy(folder_.path("f-model.pt"), folder.path("model.pt"));
  const Checkpoint checkpoint = open_folder(folder.path(""));
  EXPECT_TRUE(checkpoint.index.at("decoder.embed_tokens.weight").extents.empty());
  expect_same_tensors(checkpoint, flat);
  write_whole([](auto& tensors) { named(tensors, "decoder.layers.2.fc1.bias").bytes[9] ^= 1; });
  std::filesystem::copy(folder_.path("f-model.pt"), folder.path("model.pt"),
                        std::filesystem::copy_options::overwrite_existing);
  expect_parts(error_of([&] { open_folder(folder.path("")); }),
               {"model.pt", "-shard", "decoder.layers.2.fc1.bias", "other contents"});
}

TEST_F(CheckpointCopiesTest, ShardsAreAllFlatOrAllWhole) {
  std::vector<FairseqHeader> headers = headers_of("files_fsdp_3_shards");
  headers[1].flat.clear();
  expect_parts(error_of([&] { collect_fairseq_parts(headers); }),
               {"model-shard1.pt: holds whole tensors", "model-shard0.pt"});
  headers = headers_of("files_fsdp_3_shards");
  headers.erase(headers.begin() + 1);
  expect_parts(error_of([&] { collect_fairseq_parts(headers); }),
               {"model-shard2.pt", "shard 1 is missing"});
}

}  // namespace
}  // namespace switchyard
