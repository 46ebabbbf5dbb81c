// Shards of trainings with sharded state.
#include "runtime/checkpoint/fairseq_shards.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/checkpoint_case_writer.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

/// Parameters that are sharded together.
struct Unit {
  std::string path;
  std::string flat;  // name of the flat tensor below the path
  bool own = false;
  std::vector<RawTensor> parameters;
};

/// One shard of a unit: the flat tensor, and the metadata of it.
std::pair<RawTensor, std::string> shard_of(const Unit& unit, int64_t shard, int64_t num_shards) {
  using namespace pickle_text;
  std::string all;
  std::vector<std::string> names, shapes, numels;
  const size_t prefix = unit.path.empty() ? 0 : unit.path.size() + 1;
  for (const RawTensor& parameter : unit.parameters) {
    all += parameter.bytes;
    names.push_back(text(parameter.name.substr(prefix)));
    shapes.push_back(call("torch", "Size", {numbers(parameter.shape)}));
    numels.push_back(number(parameter.num_elements()));
  }
  const int64_t item = size_of(unit.parameters.at(0).dtype);
  const auto total = static_cast<int64_t>(all.size()) / item;
  const int64_t most = unit.own ? total : (total + num_shards - 1) / num_shards;
  const int64_t first = unit.own ? 0 : std::min(total, most * shard);
  const int64_t count = std::min(most, total - first);
  std::string bytes =
      all.substr(static_cast<size_t>(first * item), static_cast<size_t>(count * item));
  bytes.resize(static_cast<size_t>(most * item));
  const std::string metadata = pickle_text::dict(
      {{"fsdp_path", text(unit.path)},
       {"params",
        pickle_text::dict({{unit.flat, pickle_text::dict({{"names", list(names)},
                                                          {"shapes", list(shapes)},
                                                          {"numels", list(numels)},
                                                          {"padding", number(most - count)}})}})},
       {"no_broadcast_optim_state", flag(unit.own)}});
  const std::string name = unit.path.empty() ? unit.flat : unit.path + "." + unit.flat;
  return {{name, unit.parameters[0].dtype, {most}, bytes}, metadata};
}

/// A file of one shard of all units, with `more` entries beside model and metadata.
std::string write_shard(const std::vector<Unit>& units, const std::vector<RawTensor>& buffers,
                        int64_t shard, int64_t num_shards, const FairseqSettings& settings,
                        const std::string& metadata_name = "shard_metadata",
                        ContainerForm form = ContainerForm::kZip) {
  std::vector<RawTensor> tensors = buffers;
  std::vector<std::string> metadata;
  for (const Unit& unit : units) {
    auto [tensor, text] = shard_of(unit, shard, num_shards);
    tensors.push_back(std::move(tensor));
    metadata.push_back(text);
  }
  return write_torch_file(
      tensors,
      {{"cfg", cfg_pickle(settings)},
       {metadata_name, pickle_text::dict({{"param_metadata", pickle_text::list(metadata)}})}},
      form);
}

bool is_buffer(const std::string& name) {
  return name == "decoder.version" || name == "decoder.embed_positions._float_tensor";
}

/// The tensors as units: one for each layer, and one for the rest.
std::vector<Unit> units_of(const std::vector<RawTensor>& tensors) {
  std::map<std::string, Unit> units;
  for (const RawTensor& tensor : tensors) {
    if (is_buffer(tensor.name) || tensor.name == "decoder.output_projection.weight") continue;
    std::string path;
    if (tensor.name.starts_with("decoder.layers.")) path = tensor.name.substr(0, 16);
    Unit& unit = units[path];
    unit.path = path;
    unit.flat = "flat_param_0";
    unit.parameters.push_back(tensor);
  }
  std::vector<Unit> list;
  for (auto& [path, unit] : units) list.push_back(std::move(unit));
  return list;
}

std::vector<RawTensor> buffers_of(const std::vector<RawTensor>& tensors) {
  std::vector<RawTensor> buffers;
  for (const RawTensor& tensor : tensors) {
    if (is_buffer(tensor.name)) buffers.push_back(tensor);
  }
  return buffers;
}

TEST(FairseqShardsTest, AnyNumberOfShardsGivesTheWholeTensors) {
  for (const char* source : {"dense_fp32", "dense_legacy_container", "arch_post_norm_dense"}) {
    const Checkpoint original = open_folder(kData + "/fairseq/" + source);
    const FairseqSettings& settings = headers_of(source)[0].config.settings;
    const std::vector<RawTensor> tensors = read_all(original);
    for (const int64_t num_shards : {1, 2, 3, 11, 12, 40}) {
      const TempFolder folder;
      for (int64_t shard = 0; shard < num_shards; ++shard) {
        folder.write(concat("model-shard", shard, ".pt"),
                     write_shard(units_of(tensors), buffers_of(tensors), shard, num_shards,
                                 settings, shard % 2 == 0 ? "shard_metadata" : "fsdp_metadata",
                                 num_shards == 11 ? ContainerForm::kLegacy : ContainerForm::kZip));
      }
      expect_same_tensors(open_folder(folder.path("")), original);
    }
  }
}

TEST(FairseqShardsTest, ReadsTheReferencesShards) {
  const Checkpoint checkpoint = open_folder(kData + "/fairseq/files_fsdp_3_shards");
  const TensorEntry& embedding = checkpoint.index.at("decoder.embed_tokens.weight");
  EXPECT_EQ(embedding.shape, (std::vector<int64_t>{75, 24}));
  EXPECT_EQ(embedding.extents.size(), 3u);
  EXPECT_TRUE(embedding.is_contiguous());
  EXPECT_EQ(checkpoint.config.names.output, "decoder.embed_tokens");
  TensorReader reader(checkpoint.index);
  std::vector<float> values(1800);
  reader.read("e", embedding, 0, 1800, values.data());
  EXPECT_EQ(reader.bytes_read(), 7200);
  // Across the border of the first two shards, at element 616.
  float few[4] = {};
  reader.read("e", embedding, 614, 4, few);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(few[i], values[614 + i]);
  EXPECT_EQ(reader.bytes_read(), 7216);
}

/// Headers of shards of one flat tensor with two parameters, 7 and 3 elements in `num_shards`
/// files.
std::vector<FairseqHeader> two_parameters(int64_t num_shards) {
  std::vector<FairseqHeader> headers(static_cast<size_t>(num_shards));
  const int64_t most = (10 + num_shards - 1) / num_shards;
  for (int64_t i = 0; i < num_shards; ++i) {
    FairseqHeader& header = headers[static_cast<size_t>(i)];
    header.file = {concat("shard", i, ".pt"), FairseqFileRole::kWhole, -1, i};
    TorchTensor tensor;
    tensor.name = "decoder.flat_param_0";
    tensor.storage_type = "FloatStorage";
    tensor.entry = {0, 100, DType::kF32, {most}, {1}};
    tensor.places = {{0, most, 1}};
    header.tensors = {tensor};
    const int64_t count = std::max(int64_t{0}, std::min(most, 10 - i * most));
    header.flat = {{"decoder.flat_param_0", {"a", "b"}, {{7}, {3, 1}}, most - count}};
  }
  return headers;
}

std::vector<TorchTensor> join(const std::vector<FairseqHeader>& headers) {
  std::vector<size_t> group(headers.size());
  std::iota(group.begin(), group.end(), size_t{0});
  return join_shards(headers, group);
}

TEST(FairseqShardsTest, CutsParametersOutOfThePieces) {
  const std::vector<TorchTensor> joined = join(two_parameters(4));  // 3, 3, 3 and 1 elements
  ASSERT_EQ(joined.size(), 2u);
  EXPECT_EQ(joined[0].name, "a");
  EXPECT_EQ(joined[0].entry.extents,
            (std::vector<TensorExtent>{{0, 100, 3}, {1, 100, 3}, {2, 100, 1}}));
  EXPECT_EQ(joined[1].entry.extents, (std::vector<TensorExtent>{{2, 104, 2}, {3, 100, 1}}));
  EXPECT_EQ(joined[1].places[0].first, 1);
  EXPECT_EQ(joined[1].entry.strides, (std::vector<int64_t>{1, 1}));
  const std::vector<TorchTensor> alone = join(two_parameters(1));
  EXPECT_TRUE(alone[1].entry.extents.empty());
  EXPECT_EQ(alone[1].entry.offset, 128);
  // The last shards hold nothing but padding.
  EXPECT_EQ(join(two_parameters(15))[1].entry.extents.back().file, 9);
}

TEST(FairseqShardsTest, ShardsMustFitTogether) {
  const auto refused = [](const std::function<void(std::vector<FairseqHeader>&)>& change) {
    std::vector<FairseqHeader> headers = two_parameters(3);  // 4, 4 and 2 elements
    change(headers);
    return error_of([&] { join(headers); });
  };
  const std::string name = "'decoder.flat_param_0'";
  expect_parts(refused([](auto& h) { h.pop_back(); }),
               {"shard0.pt", name, "8 elements without padding in 2 shards", "have 10"});
  expect_parts(refused([](auto& h) { h[2].flat[0].padding = 1; }), {"shard0.pt", name, "have 10"});
  expect_parts(refused([](auto& h) { h[2].flat[0].padding = 5; }),
               {"shard2.pt", name, "a padding of 5"});
  expect_parts(refused([](auto& h) { h[1].tensors[0].entry.shape = {5}; }),
               {"shard1.pt", name, "5 elements", "shard0.pt 4"});
  expect_parts(refused([](auto& h) { h[1].tensors[0].storage_type = "HalfStorage"; }),
               {"shard1.pt", name, "HalfStorage", "FloatStorage"});
  expect_parts(refused([](auto& h) { h[1].tensors[0].entry.strides = {2}; }),
               {"shard1.pt", name, "without gaps"});
  expect_parts(refused([](auto& h) {
                 h[0].tensors[0].entry.shape = {2, 2};
               }),
               {"shard0.pt", name, "not a row"});
  expect_parts(refused([](auto& h) { h[2].flat[0].names[0] = "c"; }),
               {"shard2.pt", name, "described otherwise than in shard0.pt"});
  expect_parts(refused([](auto& h) {
                 h[2].flat[0].shapes[0] = {1, 7};
               }),
               {"shard2.pt", name, "described otherwise"});
  expect_parts(refused([](auto& h) { h[2].tensors.clear(); }), {"shard2.pt", name, "is missing"});
  expect_parts(refused([](auto& h) {
                 h[1].tensors.push_back(h[1].tensors[0]);
                 h[1].tensors[1].name = "buffer";
               }),
               {"shard1.pt", "'buffer'", "is missing in shard0.pt"});
  expect_parts(refused([](auto& h) {
                 h[1].tensors.push_back(h[1].tensors[0]);
                 h[1].tensors[1].name = "module.decoder.flat_param_0";
               }),
               {"shard1.pt", "module.decoder.flat_param_0", "are the same"});
}

TEST(FairseqShardsTest, TensorsOfOneShardAloneStayWhole) {
  std::vector<FairseqHeader> headers = two_parameters(3);
  for (FairseqHeader& header : headers) {
    header.tensors[0].entry.shape = {10};
    header.flat[0].padding = 0;
    header.flat[0].spread = FlatSpread::kOwnShard;
  }
  const std::vector<TorchTensor> joined = join(headers);
  EXPECT_TRUE(joined[0].entry.extents.empty());
  EXPECT_EQ(joined[1].entry.offset, 128);
}

TEST(FairseqShardsTest, ExpertsInFlatTensorsOfTheirOwn) {
  const Checkpoint original = open_folder(kData + "/fairseq/moe_fp16");
  const std::vector<FairseqHeader>& headers = headers_of("moe_fp16");
  const FairseqSettings& settings = headers[0].config.settings;
  const TempFolder folder;
  std::vector<RawTensor> shared;
  for (const TorchTensor& tensor : headers[0].tensors)
    shared.push_back(read_raw(original, tensor.name));
  for (int64_t shard = 0; shard < 2; ++shard) {
    folder.write(concat("m-shared-shard", shard, ".pt"),
                 write_shard(units_of(shared), buffers_of(shared), shard, 2, settings));
    std::map<std::string, Unit> units;
    for (const TorchTensor& tensor : headers[static_cast<size_t>(shard) + 1].tensors) {
      const auto name = split_expert_name("", tensor.name);
      const int64_t expert = name->number + 4 * shard;
      RawTensor raw = read_raw(original, concat(name->before, expert, name->after));
      raw.name = tensor.name;
      Unit& unit = units[concat(name->before, name->number)];
      unit.path = concat(name->before, name->number);
      unit.flat = "flat_param_0";
      unit.own = true;
      unit.parameters.push_back(raw);
    }
    std::vector<Unit> list;
    for (auto& [path, unit] : units) list.push_back(unit);
    folder.write(concat("m-rank-", shard, "-shard", shard, ".pt"),
                 write_shard(list, {}, shard, 2, settings));
  }
  const Checkpoint checkpoint = open_folder(folder.path(""));
  expect_same_tensors(checkpoint, original);
  EXPECT_EQ(checkpoint.index.at("decoder.layers.1.moe_layer.experts.7.fc1.bias").file, 3);
}

}  // namespace
}  // namespace switchyard
