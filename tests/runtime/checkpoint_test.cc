#include "runtime/checkpoint/checkpoint.h"

#include <gtest/gtest.h>

#include <bit>
#include <boost/crc.hpp>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/thread_communicator.h"
#include "runtime/checkpoint/random_file.h"
#include "tests/runtime/temp_folder.h"
#include "tests/runtime/torch_writer.h"

namespace switchyard {
namespace {

const std::string kData = SWITCHYARD_TEST_DATA;

/// Opens on `ranks` threads; the checkpoints in rank order.
std::vector<Checkpoint> open_on(int ranks, const std::string& directory) {
  std::vector<Checkpoint> opened(static_cast<size_t>(ranks));
  run_ranks(ranks, {}, {}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    opened[static_cast<size_t>(world.rank())] = open_checkpoint(directory, control);
  });
  return opened;
}

Checkpoint open_one(const std::string& name) { return open_on(1, kData + "/fairseq/" + name)[0]; }

std::vector<char> read_tensor(TensorReader& reader, const Checkpoint& checkpoint,
                              const std::string& name) {
  const TensorEntry& entry = checkpoint.index.at(name);
  std::vector<char> bytes(static_cast<size_t>(entry.bytes()));
  reader.read(name, entry, 0, entry.num_elements(), bytes.data());
  return bytes;
}

TEST(CheckpointTest, EveryTensorHasTheReferencesContents) {
  // CRC-32 over all tensors' row-major bytes in the order of their names, computed from the files
  // by a script that shares nothing with this reader.
  const std::vector<std::pair<std::string, uint32_t>> cases = {
      {"arch_post_norm_dense", 0xB6150973},
      {"arch_tied_no_output_key", 0x5BD58638},
      {"cfg_dictconfig", 0xA16F31C5},
      {"cfg_interpolations", 0xFDFD89D8},
      {"dense_fp32", 0x202F1826},
      {"dense_legacy_container", 0x9B9E71A6},
      {"files_12x1", 0xC25C6948},
      {"files_checkpoint_names", 0x7049FB91},
      {"files_fsdp_3_shards", 0xD1639BC9},
      {"files_moe_shard_names", 0xA4E91B01},
      {"moe_bf16", 0x2CFC626A},
      {"moe_fp32", 0xE9A2A3FD},
      {"moe_legacy_container", 0xDB5740A0},
      {"names_legacy_v3", 0xD148E806},
      {"names_version2_dense", 0x44CBCD3F},
      {"names_version2_norm_ignored", 0x100BD90E},
      {"pickle_rich_extra_state", 0x1EEDB826},
      {"storage_cuda_location", 0x36CEE34B},
      {"storage_parameters", 0x41A2FF1C},
      {"storage_views", 0x21ED8B96}};
  for (const auto& [name, expected] : cases) {
    const Checkpoint checkpoint = open_one(name);
    TensorReader reader(checkpoint.index);
    boost::crc_32_type crc;
    for (const auto& [tensor, entry] : checkpoint.index.tensors) {
      const std::vector<char> bytes = read_tensor(reader, checkpoint, tensor);
      crc.process_bytes(bytes.data(), bytes.size());
    }
    EXPECT_EQ(crc.checksum(), expected) << name;
  }
}

TEST(CheckpointTest, ReadsChosenElementsAndCountsBytes) {
  const Checkpoint checkpoint = open_one("moe_fp32");
  TensorReader reader(checkpoint.index);
  EXPECT_EQ(reader.bytes_read(), 0);
  const std::string name = "decoder.layers.3.moe_layer.experts.5.fc1.bias";
  float values[3] = {};
  reader.read(name, checkpoint.index.at(name), 0, 3, values);
  EXPECT_EQ(values[0], -0x1.a3de2ep-2f);
  EXPECT_EQ(values[1], 0x1.f2cc6ep-2f);
  EXPECT_EQ(values[2], -0x1.7d6878p-1f);
  float last = 0.0f;
  reader.read(name, checkpoint.index.at(name), 2, 1, &last);
  EXPECT_EQ(last, values[2]);
  reader.read(name, checkpoint.index.at(name), 40, 0, nullptr);
  EXPECT_EQ(reader.bytes_read(), 16);
  EXPECT_THROW(reader.read(name, checkpoint.index.at(name), 39, 2, values), Error);
  EXPECT_THROW(reader.read(name, checkpoint.index.at(name), -1, 1, values), Error);
}

TEST(CheckpointTest, GathersStridedTensors) {
  const TempFolder folder;
  std::string bytes(7, '.');
  for (int i = 0; i < 24; ++i) bytes += little_endian(static_cast<uint16_t>(i));
  CheckpointIndex index;
  const std::string path = folder.write("a.pt", bytes);
  index.files.push_back({path, static_cast<int64_t>(bytes.size()), RandomFile(path).identity()});
  TensorReader reader(index);
  const auto read = [&](const TensorEntry& entry, int64_t first, int64_t count) {
    std::vector<uint16_t> values(static_cast<size_t>(count));
    reader.read("t", entry, first, count, values.data());
    return values;
  };
  using Values = std::vector<uint16_t>;
  const TensorEntry transposed{0, 7, DType::kF16, {4, 6}, {1, 4}};
  EXPECT_EQ(read(transposed, 0, 8), (Values{0, 4, 8, 12, 16, 20, 1, 5}));
  EXPECT_EQ(read(transposed, 5, 3), (Values{20, 1, 5}));
  // The whole first row and part of the next, twice: elements 0 to 20 and 1 to 5; 20 and 1 to 5.
  EXPECT_EQ(reader.bytes_read(), 2 * (21 + 5 + 1 + 5));
  const TensorEntry broadcast{0, 9, DType::kF16, {3, 2}, {0, 1}};
  EXPECT_EQ(read(broadcast, 0, 6), (Values{1, 2, 1, 2, 1, 2}));
  const TensorEntry columns{0, 7, DType::kF16, {2, 2, 3}, {12, 6, 2}};
  EXPECT_FALSE(columns.is_contiguous());
  EXPECT_EQ(read(columns, 0, 12), (Values{0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22}));
  const TensorEntry padded{0, 7, DType::kF16, {1, 6}, {99, 1}};
  EXPECT_TRUE(padded.is_contiguous());
  EXPECT_EQ(read(padded, 1, 2), (Values{1, 2}));
  const TensorEntry empty{0, 7, DType::kF16, {0, 6}, {1, 9}};
  EXPECT_TRUE(empty.is_contiguous());
  EXPECT_EQ(read(empty, 0, 0), Values{});
}

TEST(CheckpointTest, NamesTheTensorOfAFileThatBecameShorter) {
  const TempFolder folder;
  std::filesystem::copy(kData + "/fairseq/dense_fp32/model.pt", folder.path("model.pt"));
  const Checkpoint checkpoint = open_on(1, folder.path(""))[0];
  const std::string name = "decoder.layer_norm.weight";
  TensorReader reader(checkpoint.index);
  read_tensor(reader, checkpoint, name);
  std::filesystem::resize_file(folder.path("model.pt"), 60000);
  TensorReader late(checkpoint.index);
  EXPECT_NE(error_of([&] { read_tensor(late, checkpoint, name); }).find("another file here"),
            std::string::npos);
  const std::string message = error_of([&] { read_tensor(reader, checkpoint, name); });
  for (const std::string& part : {folder.path("model.pt"), name, std::string("truncated")}) {
    EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  std::filesystem::remove(folder.path("model.pt"));
  TensorReader other(checkpoint.index);
  EXPECT_NE(error_of([&] { read_tensor(other, checkpoint, name); }).find("cannot be opened"),
            std::string::npos);
}

TEST(CheckpointTest, EveryRankGetsTheSameIndexAndHeadersAreReadOnce) {
  for (const char* name : {"files_12x1", "files_fsdp_3_shards"}) {
    const std::string directory = kData + "/fairseq/" + name;
    const Checkpoint alone = open_on(1, directory)[0];
    const auto num_files = static_cast<int>(alone.index.files.size());
    for (const int ranks : {2, 3, 16}) {
      const std::vector<Checkpoint> opened = open_on(ranks, directory);
      int64_t header_bytes = 0;
      for (const Checkpoint& checkpoint : opened) {
        header_bytes += checkpoint.header_bytes_read;
        EXPECT_EQ(checkpoint.fingerprint, alone.fingerprint);
        ASSERT_EQ(checkpoint.index.tensors.size(), alone.index.tensors.size());
        for (const auto& [tensor, entry] : alone.index.tensors) {
          EXPECT_TRUE(checkpoint.index.at(tensor) == entry) << tensor;
        }
      }
      EXPECT_EQ(header_bytes, alone.header_bytes_read);
      EXPECT_EQ(opened.back().header_bytes_read == 0, ranks > num_files);
    }
  }
}

TEST(CheckpointTest, EveryRankThrowsTheSameError) {
  for (const char* name : {"moe_missing_rank", "moe_extra_expert", "moe_missing_expert_tensor"}) {
    std::mutex mutex;
    std::multiset<std::string> messages;
    run_ranks(3, {}, {}, [&](Backend& backend, Communicator& world) {
      ControlChannel control(backend, world);
      const std::string message =
          error_of([&] { open_checkpoint(kData + "/bad/" + name, control); });
      const std::lock_guard<std::mutex> lock(mutex);
      messages.insert(message);
    });
    ASSERT_EQ(messages.size(), 3u);
    EXPECT_EQ(messages.count(*messages.begin()), 3u) << *messages.begin();
    EXPECT_NE(messages.begin()->find(std::string("/bad/") + name), std::string::npos);
  }
}

TEST(CheckpointTest, AnErrorOfOneRanksFileReachesAll) {
  const TempFolder folder;
  for (const auto& entry : std::filesystem::directory_iterator(kData + "/fairseq/files_12x1")) {
    std::filesystem::copy(entry.path(), folder.path(""));
  }
  folder.write("model-rank-3.pt", "no archive");
  EXPECT_NE(error_of([&] { open_on(4, folder.path("")); }).find("model-rank-3.pt"),
            std::string::npos);
}

}  // namespace
}  // namespace switchyard
