#include "runtime/checkpoint/fairseq_writer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/torch_file.h"
#include "runtime/checkpoint/zip_reader.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

const std::string kDense =
    "family: fairseq\nlayers: 4\nhidden_size: 24\nffn_size: 40\nheads: 4\nvocab_size: 90\n"
    "max_positions: 64\ndtype: fp16\n";

std::set<std::string> names_in(const FairseqFilePlan& file) {
  std::set<std::string> names;
  for (const FairseqFilePlan::Tensor& tensor : file.tensors) names.insert(tensor.name);
  EXPECT_EQ(names.size(), file.tensors.size());
  return names;
}

/// Element i of a tensor: a number that fp16 holds exactly and that other tensors do not have.
void fill_with_index(const std::string& name, const std::vector<int64_t>& shape, int64_t first,
                     int64_t count, void* to) {
  EXPECT_FALSE(shape.empty());
  const auto salt = static_cast<int64_t>(std::hash<std::string>{}(name) % 1024);
  for (int64_t i = 0; i < count; ++i) {
    static_cast<uint16_t*>(to)[i] = static_cast<uint16_t>((salt * 31 + first + i) & 0x3FFF);
  }
}

TEST(FairseqWriterTest, ADenseModelIsOneFile) {
  const std::vector<FairseqFilePlan> files = plan_fairseq_files(parse_preset(kDense, "m"));
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].file_name, "model.pt");
  const std::set<std::string> names = names_in(files[0]);
  EXPECT_EQ(names.count("decoder.version"), 1u);
  EXPECT_EQ(names.count("decoder.embed_positions._float_tensor"), 1u);
  EXPECT_EQ(names.count("decoder.output_projection.weight"), 1u);
  EXPECT_EQ(names.count("decoder.layers.3.fc2.bias"), 1u);
  EXPECT_EQ(files[0].storages.size() + 1, names.size()) << "the tied matrix is stored once";
}

TEST(FairseqWriterTest, ExpertsAreNumberedInTheirFile) {
  const ModelPreset model = parse_preset(kDense + "experts: 8\nrank_files: 4\n", "m");
  const std::vector<FairseqFilePlan> files = plan_fairseq_files(model);
  ASSERT_EQ(files.size(), 5u);
  EXPECT_EQ(files[0].file_name, "model-shared.pt");
  EXPECT_EQ(files[4].file_name, "model-rank-3.pt");
  std::set<std::string> weights;
  for (const FairseqFilePlan& file : files) {
    for (const FairseqFilePlan::Tensor& tensor : file.tensors) {
      const std::string& whole = file.storages[tensor.storage].name;
      const bool is_expert = tensor.name.find("expert") != std::string::npos;
      EXPECT_EQ(is_expert, &file != &files[0]) << tensor.name;
      EXPECT_EQ(is_expert, whole.find("expert") != std::string::npos);
      weights.insert(whole);
    }
  }
  for (const ExpectedTensor& tensor : expected_tensors(model.config)) {
    EXPECT_EQ(weights.count(tensor.name), 1u) << tensor.name;
  }
  // Experts 6 and 7 of layers 1 and 3.
  EXPECT_EQ(names_in(files[4]),
            (std::set<std::string>{"decoder.layers.1.moe_layer.experts.0.fc1.weight",
                                   "decoder.layers.1.moe_layer.experts.0.fc1.bias",
                                   "decoder.layers.1.moe_layer.experts.0.fc2.weight",
                                   "decoder.layers.1.moe_layer.experts.0.fc2.bias",
                                   "decoder.layers.1.moe_layer.experts.1.fc1.weight",
                                   "decoder.layers.1.moe_layer.experts.1.fc1.bias",
                                   "decoder.layers.1.moe_layer.experts.1.fc2.weight",
                                   "decoder.layers.1.moe_layer.experts.1.fc2.bias",
                                   "decoder.layers.3.moe_layer.experts.0.fc1.weight",
                                   "decoder.layers.3.moe_layer.experts.0.fc1.bias",
                                   "decoder.layers.3.moe_layer.experts.0.fc2.weight",
                                   "decoder.layers.3.moe_layer.experts.0.fc2.bias",
                                   "decoder.layers.3.moe_layer.experts.1.fc1.weight",
                                   "decoder.layers.3.moe_layer.experts.1.fc1.bias",
                                   "decoder.layers.3.moe_layer.experts.1.fc2.weight",
                                   "decoder.layers.3.moe_layer.experts.1.fc2.bias"}));
  EXPECT_EQ(files[4].storages[files[4].tensors.back().storage].name,
            "decoder.layers.3.moe_layer.experts.7.fc2.bias");
}

TEST(FairseqWriterTest, LearnedPositionsAndAnOutputMatrixAreStored) {
  const ModelPreset model = parse_preset(kDense + "positions: learned\ntied_output: false\n", "m");
  const std::vector<FairseqFilePlan> files = plan_fairseq_files(model);
  const std::set<std::string> names = names_in(files[0]);
  EXPECT_EQ(names.count("decoder.embed_positions.weight"), 1u);
  EXPECT_EQ(names.count("decoder.embed_positions._float_tensor"), 0u);
  EXPECT_EQ(names.count("decoder.output_projection.weight"), 1u);
  EXPECT_EQ(files[0].storages.size(), names.size());
}

/// fairseq's loader asks for keys without defaults: a file of the reference shows which there are.
TEST(FairseqWriterTest, EveryKeyOfTheReferenceIsThere) {
  RandomFile file(std::string(SWITCHYARD_TEST_DATA) + "/fairseq/moe_fp32/model-shared.pt");
  const Pickle reference = read_torch_file(file).pickle;
  for (const std::string& preset : {kDense, kDense + "experts: 8\n"}) {
    const ModelPreset model = parse_preset(preset, "m");
    const std::string bytes = make_fairseq_archive(plan_fairseq_files(model)[0], model).data_pkl;
    const Pickle written = Pickle::parse({bytes.begin(), bytes.end()}, "written");
    const auto expect_keys = [&](PickleId theirs, PickleId ours, const std::string& where) {
      ASSERT_NE(ours, kNoPickleId) << where;
      ASSERT_EQ(written[ours].kind, PickleKind::kDict) << where;
      const std::vector<PickleId>& items = reference[theirs].items;
      EXPECT_FALSE(items.empty());
      for (size_t i = 0; i < items.size(); i += 2) {
        const std::string key(reference[items[i]].text);
        EXPECT_NE(written.find(ours, key), kNoPickleId) << where << "." << key;
      }
    };
    expect_keys(reference.root(), written.root(), "top");
    const PickleId cfg = reference.find(reference.root(), "cfg");
    const PickleId our_cfg = written.find(written.root(), "cfg");
    expect_keys(cfg, our_cfg, "cfg");
    for (size_t i = 0; i < reference[cfg].items.size(); i += 2) {
      const PickleId section = reference[cfg].items[i + 1];
      if (reference[section].kind != PickleKind::kDict) continue;
      const std::string name(reference[reference[cfg].items[i]].text);
      expect_keys(section, written.find(our_cfg, name), name);
    }
  }
}

TEST(FairseqWriterTest, AFileThatCouldNotBeReadBackIsRefused) {
  const ModelPreset model = parse_preset(kDense + "experts: 65536\nmoe_every: 1\n", "m");
  expect_error(ErrorKind::kUsage, {"model-rank-0.pt", "1048576 tensors", "--rank-files"},
               [&] { plan_fairseq_files(model); });
}

/// Writes the first rank's file of a model and reads it back.
void expect_readable(const Zip64Thresholds& thresholds, int num_threads) {
  const ModelPreset model = parse_preset(
      "family: fairseq\nlayers: 2\nhidden_size: 256\nffn_size: 1500\nheads: 4\nvocab_size: 90\n"
      "max_positions: 64\ndtype: fp16\nexperts: 4\nrank_files: 2\n",
      "m");
  const FairseqFilePlan plan = plan_fairseq_files(model)[1];
  const TorchArchive archive = make_fairseq_archive(plan, model);
  const ZipLayout layout = torch_layout(archive, thresholds);
  const TempFolder folder;
  const std::string path = folder.path(plan.file_name);
  ThreadPool pool(num_threads);
  int64_t counted = 0;
  int64_t payload = 0;
  for (const TorchStorage& storage : archive.storages) payload += 2 * storage.num_elements;
  const WeightSource weights = fill_with_index;
  {
    StagedFile file(path);
    write_torch_file(
        archive, layout, make_fairseq_source(plan, model.dtype, weights), pool,
        [&](int64_t bytes) { counted += bytes; }, file);
    EXPECT_FALSE(std::filesystem::exists(path));
    file.publish();
  }
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
  EXPECT_EQ(counted, payload);
  RandomFile input(path);
  EXPECT_EQ(input.size(), layout.file_bytes());
  const TorchFile torch = read_torch_file(input);
  ASSERT_EQ(torch.tensors.size(), plan.tensors.size());
  for (size_t i = 0; i < torch.tensors.size(); ++i) {
    const TorchTensor& tensor = torch.tensors[i];
    const FairseqFilePlan::Storage& storage = plan.storages[plan.tensors[i].storage];
    EXPECT_EQ(tensor.name, plan.tensors[i].name);
    EXPECT_EQ(tensor.entry.shape, storage.shape);
    EXPECT_EQ(tensor.entry.dtype, DType::kF16);
    EXPECT_TRUE(tensor.entry.is_contiguous());
    EXPECT_EQ(tensor.entry.offset % 64, 0);
    const auto count = static_cast<size_t>(tensor.entry.num_elements());
    std::vector<uint16_t> found(count), expected(count);
    input.read_at(tensor.entry.offset, tensor.entry.bytes(), found.data(), "tensor");
    fill_with_index(storage.name, storage.shape, 0, static_cast<int64_t>(count), expected.data());
    EXPECT_EQ(found, expected) << tensor.name;
  }
}

TEST(FairseqWriterTest, WhatIsWrittenIsReadBack) {
  expect_readable({}, 1);
  expect_readable({}, 3);
}

TEST(FairseqWriterTest, Zip64IsReadBackToo) {
  expect_readable({.bytes = 1}, 2);
  expect_readable({.bytes = 100000, .entries = 3}, 2);
}

TEST(FairseqWriterTest, ChecksumsAreOfTheWholePayload) {
  // The embedding is 18 MB, many times what a thread writes at a time; ZipReader::read() compares.
  const ModelPreset model = parse_preset(
      "family: fairseq\nlayers: 1\nhidden_size: 512\nffn_size: 1500\nheads: 4\n"
      "vocab_size: 9000\nmax_positions: 64\ndtype: fp32\n",
      "m");
  const TorchArchive archive = make_fairseq_archive(plan_fairseq_files(model)[0], model);
  const ZipLayout layout = torch_layout(archive);
  const TempFolder folder;
  ThreadPool pool(2);
  StagedFile file(folder.path("model.pt"));
  write_torch_file(
      archive, layout,
      [](size_t storage, int64_t first, int64_t count, void* to) {
        for (int64_t i = 0; i < count; ++i) {
          static_cast<float*>(to)[i] =
              static_cast<float>(1 + static_cast<int64_t>(storage) * 1000 + first + i);
        }
      },
      pool, [](int64_t) {}, file);
  file.publish();
  RandomFile input(folder.path("model.pt"));
  const ZipReader zip(input);
  EXPECT_EQ(zip.entries().size(), archive.storages.size() + 3);
  for (const ZipEntry& entry : zip.entries()) {
    EXPECT_NE(entry.crc32, 0u) << entry.name;
    EXPECT_NO_THROW(zip.read(entry, int64_t{1} << 30)) << entry.name;
  }
}

TEST(FairseqWriterTest, AnUnfinishedFileIsRemoved) {
  const TempFolder folder;
  {
    StagedFile file(folder.path("model.pt"));
    file.write_at(0, "half");
    EXPECT_TRUE(std::filesystem::exists(folder.path("model.pt.tmp")));
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path("model.pt.tmp")));
  EXPECT_FALSE(std::filesystem::exists(folder.path("model.pt")));
  expect_error(ErrorKind::kInput, {"absent/model.pt.tmp", "No such file"},
               [&] { StagedFile file(folder.path("absent/model.pt")); });
}

}  // namespace
}  // namespace switchyard
