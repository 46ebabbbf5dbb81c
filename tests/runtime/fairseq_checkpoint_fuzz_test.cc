#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "runtime/checkpoint/zip_reader.h"
#include "tests/runtime/fairseq_case.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

/// Flips, cuts and inserts bytes; the same for the same seed.
std::string damage(const std::string& bytes, std::mt19937& random) {
  std::string damaged = bytes;
  const size_t at = random() % damaged.size();
  switch (random() % 8) {
    case 0:
      damaged.resize(at);
      break;
    case 1:
      damaged.erase(at, random() % 8);
      break;
    case 2:
      damaged.insert(at, std::string(1 + random() % 4, static_cast<char>(random())));
      break;
    case 3:
      damaged.replace(at, std::min<size_t>(4, damaged.size() - at), "\xff\xff\xff\xff", 4);
      break;
    default:
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
  }
  return damaged;
}

/// The entries of a real file; without checksums, so that damage reaches the pickle reader.
std::vector<ZipItem> items_of(const std::string& path) {
  RandomFile file(path);
  const ZipReader zip(file);
  std::vector<ZipItem> items;
  for (const ZipEntry& entry : zip.entries()) {
    const std::vector<char> bytes = zip.read(entry, 1 << 20);
    items.push_back({entry.name, {bytes.begin(), bytes.end()}});
    items.back().with_crc = false;
  }
  return items;
}

TEST(FairseqFuzzTest, DamagedFilesAreRefusedOrRead) {
  const std::string path = kData + "/fairseq/arch_post_norm_dense/model.pt";
  const TempFolder folder;
  const std::string bytes = write_zip(items_of(path));
  folder.write("model.pt", bytes);
  ASSERT_EQ(open_folder(folder.path("")).index.tensors.size(), 52u);
  std::mt19937 random(1);
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    folder.write("model.pt", damage(bytes, random));
    const std::string message = error_of([&] { open_folder(folder.path("")); });
    if (message.empty()) continue;  // a byte of a tensor
    ++refused;
    EXPECT_NE(message.find("model.pt"), std::string::npos) << message;
  }
  EXPECT_GT(refused, 50);
}

TEST(FairseqFuzzTest, DamagedPicklesAreRefusedOrRead) {
  const TempFolder folder;
  std::vector<ZipItem> items = items_of(kData + "/fairseq/arch_post_norm_dense/model.pt");
  ASSERT_EQ(items[0].name, "model/data.pkl");
  const std::string pickle = items[0].payload;
  std::mt19937 random(2);
  int refused = 0;
  for (int i = 0; i < 1500; ++i) {
    items[0].payload = damage(pickle, random);
    folder.write("model.pt", write_zip(items));
    const std::string message = error_of([&] { open_folder(folder.path("")); });
    refused += message.empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 500);
  EXPECT_LT(refused, 1500);  // most of the file is about training
}

/// Opens copies of a checkpoint in which the pickle of one zip file is damaged.
int refused_with_damaged_pickle(const std::string& folder, const std::string& file, int times) {
  const TempFolder copy;
  for (const auto& entry : std::filesystem::directory_iterator(kData + "/fairseq/" + folder)) {
    if (entry.path().extension() == ".pt") std::filesystem::copy(entry.path(), copy.path(""));
  }
  std::vector<ZipItem> items = items_of(kData + "/fairseq/" + folder + "/" + file);
  const std::string pickle = items[0].payload;
  std::mt19937 random(3);
  int refused = 0;
  for (int i = 0; i < times; ++i) {
    items[0].payload = damage(pickle, random);
    copy.write(file, write_zip(items));
    refused += error_of([&] { open_folder(copy.path("")); }).empty() ? 0 : 1;
  }
  return refused;
}

TEST(FairseqFuzzTest, DamagedConfigurationsAndMetadataAreRefusedOrRead) {
  EXPECT_GT(refused_with_damaged_pickle("files_fsdp_3_shards", "model-shard1.pt", 500), 100);
  EXPECT_GT(refused_with_damaged_pickle("cfg_dictconfig", "model-rank-0.pt", 300), 50);
  EXPECT_GT(refused_with_damaged_pickle("cfg_args_only_dense", "model.pt", 300), 50);
}

TEST(FairseqFuzzTest, DamagedLegacyFilesAreRefusedOrRead) {
  const TempFolder folder;
  std::ifstream stream(kData + "/fairseq/dense_legacy_container/model.pt", std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(stream), {});
  std::mt19937 random(4);
  int refused = 0;
  for (int i = 0; i < 1000; ++i) {
    folder.write("model.pt", damage(bytes, random));
    const std::string message = error_of([&] { open_folder(folder.path("")); });
    if (message.empty()) continue;
    ++refused;
    EXPECT_NE(message.find("model.pt"), std::string::npos) << message;
  }
  EXPECT_GT(refused, 300);
}

}  // namespace
}  // namespace switchyard
