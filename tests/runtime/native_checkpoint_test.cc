// What a converted folder must not say: every lie is found before anything is computed.
#include "runtime/checkpoint/native_checkpoint.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "parallel/thread_communicator.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/native_header.h"
#include "runtime/expert_reader.h"
#include "runtime/inspect.h"
#include "runtime/native_check.h"
#include "tests/runtime/convert_runner.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/synthesize_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

constexpr const char* kExperts = "out/experts-00001-of-00001.bin";

std::string text_of(const std::string& name) {
  std::ifstream file(test_data(name));
  return {std::istreambuf_iterator<char>(file), {}};
}

class NativeCheckpointTest : public testing::Test {
 protected:
  NativeCheckpointTest() {
    ConvertOptions options = convert_options("fairseq/moe_fp32", folder_.path("out"));
    options.quantization.attention = {8, 64};
    convert(options);
  }

  /// switchyard.json after a change.
  void change(const std::function<void(json::object&)>& edit) const {
    json::value value = json::parse(folder_.read("out/switchyard.json"));
    edit(value.as_object());
    folder_.write("out/switchyard.json", json::serialize(value));
  }

  static json::object& expert(json::object& top, size_t number) {
    return top.at("experts").as_array().at(0).as_array().at(number).as_object();
  }

  /// Opening as a run does, on one rank and on three.
  void expect_refused(std::initializer_list<std::string_view> parts) const {
    for (const int num_ranks : {1, 3}) {
      ScoreSetup setup;
      setup.model = folder_.path("out");
      setup.input = test_data("fairseq/moe_fp32/requests.jsonl");
      setup.num_ranks = num_ranks;
      expect_error(ErrorKind::kInput, parts, [&] { score(setup); });
    }
  }

  /// A change of one key of an expert.
  void expect_expert_refused(const char* key, const json::value& value,
                             std::initializer_list<std::string_view> parts) const {
    SCOPED_TRACE(testing::Message() << key << " " << json::serialize(value));
    const std::string before = folder_.read("out/switchyard.json");
    change([&](json::object& top) { expert(top, 1)[key] = value; });
    expect_refused(parts);
    folder_.write("out/switchyard.json", before);
  }

  TempFolder folder_;
};

TEST_F(NativeCheckpointTest, OpensWithEverythingInPlace) {
  const Checkpoint checkpoint = open(folder_.path("out"));
  const Checkpoint source = open(test_data("fairseq/moe_fp32"));
  ASSERT_TRUE(checkpoint.native);
  EXPECT_NE(checkpoint.fingerprint, source.fingerprint);
  ModelConfig expected = source.config;
  expected.quantization.attention = {8, 64};
  EXPECT_EQ(checkpoint.config, expected);
  EXPECT_EQ(checkpoint.index.tensors.size(), expected_tensors(expected).size());
  for (const auto& [name, entry] : checkpoint.index.tensors) {
    EXPECT_EQ(entry.shape, source.index.at(name).shape) << name;
  }
  EXPECT_GT(checkpoint.header_bytes_read, 0);
  ConvertOptions other = convert_options("fairseq/moe_fp32", folder_.path("other"));
  convert(other);
  EXPECT_NE(open(folder_.path("other")).fingerprint, checkpoint.fingerprint);
}

TEST_F(NativeCheckpointTest, DescriptionsOfThisVersionAreReadForGood) {
  const std::string name = "native/gpt_oss.json";
  const std::string text = text_of(name);
  EXPECT_EQ(native_header_text(parse_native_header(text, name)), text);
}

TEST_F(NativeCheckpointTest, DescriptionsOfVersion1AreReadForGood) {
  const std::string name = "native/fairseq.json";
  const std::string text = native_header_text(parse_native_header(text_of(name), name));
  const NativeHeader header = parse_native_header(text, name);
  EXPECT_EQ(header.config.quantization.attention, (GroupQuantization{8, 64}));
  EXPECT_EQ(header.experts.at(1).at(2).up, DType::kF32);
  EXPECT_FALSE(header.experts.at(1).at(2).up_codes.is_on());
  EXPECT_EQ(header.matrices.size(), 16u);
  std::string again = text;
  again.replace(again.find("\"version\": 2"), 12, "\"version\": 1");
  std::string key = ",\"up_codes\":{\"bits\":0,\"group\":0,\"codes\":\"integer\"}";
  ASSERT_NE(again.find(key), std::string::npos);
  again.erase(again.find(key), key.size());
  EXPECT_EQ(native_header_text(parse_native_header(again, name)), text);
}

TEST_F(NativeCheckpointTest, FilesThatAreMissingOrOfAnotherSize) {
  fs::rename(folder_.path(kExperts), folder_.path("kept"));
  expect_refused({"experts-00001-of-00001.bin", "cannot be opened"});
  const std::string bytes = folder_.read("kept");
  folder_.write(kExperts, bytes.substr(0, bytes.size() - 4096));
  expect_refused({"experts-00001-of-00001.bin", "truncated"});
  folder_.write(kExperts, bytes + " ");
  expect_refused({"experts-00001-of-00001.bin", "convert the original again"});
  folder_.write(kExperts, bytes);
  const std::string dense = folder_.read("out/dense.safetensors");
  folder_.write("out/dense.safetensors", dense.substr(0, dense.size() / 2));
  expect_refused({"dense.safetensors", "truncated"});
  fs::remove(folder_.path("out/dense.safetensors"));
  expect_refused({"dense.safetensors", "cannot be opened"});
}

TEST_F(NativeCheckpointTest, WithoutItsDescriptionItIsNoCheckpoint) {
  fs::remove(folder_.path("out/switchyard.json"));
  expect_refused({"holds no checkpoint"});
}

TEST_F(NativeCheckpointTest, DescriptionsOfAnotherKind) {
  const std::string good = folder_.read("out/switchyard.json");
  const auto refuse_text = [&](const std::string& text,
                               std::initializer_list<std::string_view> parts) {
    folder_.write("out/switchyard.json", text);
    expect_refused(parts);
    folder_.write("out/switchyard.json", good);
  };
  refuse_text("", {"switchyard.json", "no valid JSON"});
  refuse_text(good.substr(0, good.size() / 2), {"switchyard.json", "no valid JSON"});
  refuse_text("[]", {"\"format\": \"switchyard\""});
  refuse_text("{\"format\": \"other\"}", {"\"format\": \"switchyard\""});
  refuse_text("{\"format\": \"switchyard\"}", {"version none"});
  refuse_text("{\"format\": \"switchyard\", \"version\": 2}", {"has no \"packing\""});
  change([](json::object& top) { top["version"] = 3; });
  expect_refused({"is of version 3", "reads version 2", "convert the original again"});
  folder_.write("out/switchyard.json", good);
  change([](json::object& top) { top["packing"] = "panel16-9"; });
  expect_refused({"packed as 'panel16-9'", "panel32-1", "convert the original again"});
  folder_.write("out/switchyard.json", good);
  change([](json::object& top) { top["comment"] = "mine"; });
  expect_refused({"unknown key \"comment\""});
}

TEST_F(NativeCheckpointTest, ExtentsThatCannotBe) {
  expect_expert_refused("offset", 4096 * 1000, {"expert 1 of MoE layer 0", "of a file of"});
  expect_expert_refused("offset", int64_t{1} << 62, {"expert 1 of MoE layer 0", "of a file of"});
  expect_expert_refused("offset", 100, {"expert 1 of MoE layer 0", "no multiple of 4096"});
  expect_expert_refused("offset", -4096, {"expert 1 of MoE layer 0", "begins at byte -4096"});
  expect_expert_refused("offset", 0, {"expert 1 of MoE layer 0", "within expert 0"});
  expect_expert_refused("offset", uint64_t{1} << 63, {"experts[0][1].offset"});
  expect_expert_refused("file", 0, {"expert 1 of MoE layer 0", "file number 0 of 2"});
  expect_expert_refused("file", 2, {"file number 2 of 2"});
  expect_expert_refused("file", -1, {"file number -1 of 2"});
  expect_expert_refused("file", int64_t{1} << 40, {"experts[0][1].file"});
  expect_expert_refused("bytes", 0, {"takes 0 bytes"});
  expect_expert_refused("bytes", -64, {"takes -64 bytes"});
  expect_expert_refused("bytes", 100, {"takes 100 bytes"});
  expect_expert_refused("bytes", int64_t{1} << 62, {"of a file of"});
  expect_expert_refused("bytes", 64, {"expert 1 of MoE layer 0", "takes 64 bytes; expected"});
  expect_expert_refused("crc32", -1, {"experts[0][1].crc32", "from 0 to 4294967295"});
  expect_expert_refused("up", "int64", {"expert 1 of MoE layer 0", "is of type int64"});
  expect_expert_refused("down", "fp8", {"experts[0][1].down", "one of"});
  expect_expert_refused("down", "fp16", {"expert 1 of MoE layer 0", "is of type fp16"});
  expect_expert_refused("name", "x", {"unknown key \"experts[0][1].name\""});
}

TEST_F(NativeCheckpointTest, FilesAreNamedAsTheyMust) {
  const std::string good = folder_.read("out/switchyard.json");
  const auto refuse = [&](size_t number, const char* key, const json::value& value,
                          std::initializer_list<std::string_view> parts) {
    change(
        [&](json::object& top) { top.at("files").as_array().at(number).as_object()[key] = value; });
    expect_refused(parts);
    folder_.write("out/switchyard.json", good);
  };
  refuse(0, "name", "../model.safetensors", {"'../model.safetensors' in the place of dense"});
  refuse(1, "name", "/etc/passwd", {"'/etc/passwd' in the place of experts-00001-of-00001.bin"});
  refuse(1, "bytes", -1, {"has -1 bytes"});
  refuse(1, "bytes", int64_t{1} << 62, {"experts-00001-of-00001.bin has 4611686018427387904"});
  refuse(1, "bytes", int64_t{1} << 40, {"experts-00001-of-00001.bin has", "ends at byte"});
  change([](json::object& top) { top["files"] = json::array(); });
  expect_refused({"names no files"});
}

TEST_F(NativeCheckpointTest, TheModelMustBeAllThere) {
  const std::string good = folder_.read("out/switchyard.json");
  const auto refuse = [&](const std::function<void(json::object&)>& edit,
                          std::initializer_list<std::string_view> parts) {
    change(edit);
    expect_refused(parts);
    folder_.write("out/switchyard.json", good);
  };
  const auto config = [](json::object& top) -> json::object& {
    return top.at("config").as_object();
  };
  refuse([](json::object& top) { top.at("experts").as_array().pop_back(); }, {"the model has"});
  refuse([](json::object& top) { top.at("experts").as_array().at(0).as_array().pop_back(); },
         {"experts of MoE layer 0; the model has"});
  refuse([&](json::object& top) { config(top)["vocab_size"] = 77; },
         {"dense.safetensors", "the model needs [77"});
  refuse([&](json::object& top) { config(top).at("layers").as_array().push_back("dense"); },
         {"has no tensor", "which the model needs"});
  refuse([&](json::object& top) { config(top)["num_heads"] = 0; }, {"attention heads is 0"});
  refuse([&](json::object& top) { config(top)["expert_ffn_size"] = 9999; },
         {"expert 0 of MoE layer 0", "expected"});
  refuse([&](json::object& top) { config(top)["output_bias"] = "yes"; }, {"has no tensor"});
  refuse(
      [&](json::object& top) {
        config(top).at("names").as_object()["expert_up"] = "layers.{layer}.up";
      },
      {"twice"});
  refuse(
      [](json::object& top) {
        json::object& matrices = top.at("matrices").as_object();
        matrices["extra"] = matrices.begin()->value();
      },
      {"within matrix"});
  refuse(
      [](json::object& top) {
        json::object& matrices = top.at("matrices").as_object();
        const json::value extent = matrices.begin()->value();
        matrices.erase(matrices.begin());
        matrices["extra"] = extent;
      },
      {"has no tensor"});
  refuse(
      [&](json::object& top) {
        const json::object off = {{"bits", 0}, {"group", 0}, {"codes", "integer"}};
        config(top).at("quantization") = json::object{{"experts", off}, {"attention", off}};
      },
      {"is packed, but the model keeps it as it is"});
  refuse(
      [&](json::object& top) {
        config(top).at("quantization").at("experts") = {
            {"bits", 4}, {"group", 64}, {"codes", "integer"}};
      },
      {"expert 0 of MoE layer 0", "expected"});
}

TEST_F(NativeCheckpointTest, ChecksumsFindOneWrongBit) {
  const auto verify = [&](const std::string& model, int num_ranks) {
    std::string report;
    run_ranks(num_ranks, {}, {.kind = BackendKind::kCpu},
              [&](Backend& backend, Communicator& world) {
                ControlChannel control(backend, world);
                InspectOptions options;
                options.model = model;
                options.verify = Verification::kYes;
                const std::string text = inspect(options, backend, control);
                if (control.rank() == 0) report = text;
              });
    return report;
  };
  for (const int num_ranks : {1, 3}) {
    EXPECT_NE(verify(folder_.path("out"), num_ranks).find("verified bytes"), std::string::npos);
    expect_error(ErrorKind::kUsage, {"--verify", "fairseq/moe_fp32"},
                 [&] { verify(test_data("fairseq/moe_fp32"), num_ranks); });
  }
  const NativeLayout native = open(folder_.path("out")).native.value();
  const auto expect_damage = [&](const std::string& file, size_t byte, const char* what) {
    const std::string good = folder_.read(file);
    std::string bad = good;
    bad[byte] = static_cast<char>(bad[byte] ^ 16);
    folder_.write(file, bad);
    for (const int num_ranks : {1, 3}) {
      expect_error(ErrorKind::kInput, {file, what, "damaged"},
                   [&] { verify(folder_.path("out"), num_ranks); });
    }
    folder_.write(file, good);
  };
  expect_damage(kExperts, static_cast<size_t>(native.experts.at(1).at(2).offset) + 77,
                "expert 2 of layer 3");
  const auto& [name, extent] = *native.matrices.begin();
  expect_damage(kExperts, static_cast<size_t>(extent.offset + extent.bytes - 1),
                ("matrix " + name).c_str());
  const size_t dense_bytes = folder_.read("out/dense.safetensors").size();
  expect_damage("out/dense.safetensors", dense_bytes - 1, "the file");
}

TEST_F(NativeCheckpointTest, ReadingNamesWhatIsMissing) {
  const Checkpoint checkpoint = open(folder_.path("out"));
  const std::unique_ptr<Backend> backend = make_backend({.kind = BackendKind::kCpu});
  check_native(checkpoint, *backend);
  Stream stream = backend->make_stream(StreamKind::kCopy);
  ExpertReader reader(checkpoint,
                      std::make_unique<TensorReader>(checkpoint.index, FileCaching::kDirect),
                      *backend, stream);
  const ExpertShape shape = expert_shape(checkpoint, {0, 0});
  const DeviceBuffer memory = backend->allocate(expert_slot_bytes(shape, *backend));
  const ExpertWeights slot = expert_slot(shape, *backend, memory.data());
  reader.read({0, 0}, slot);
  EXPECT_EQ(reader.counts().bytes, memory.bytes());
  const PackedExtent last = checkpoint.native->experts.at(0).at(3);
  fs::resize_file(folder_.path(kExperts), static_cast<uintmax_t>(last.offset + 100));
  expect_error(ErrorKind::kInput,
               {kExperts, concat("no byte ", last.offset + 100), "expert 3 of layer 1"}, [&] {
                 reader.read({0, 3}, slot);
               });
}

}  // namespace
}  // namespace switchyard
