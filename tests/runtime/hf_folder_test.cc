#include "runtime/checkpoint/hf_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "parallel/thread_communicator.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/safetensors_case.h"
#include "tests/runtime/temp_folder.h"
#include "tests/runtime/torch_writer.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
namespace text = pickle_text;

constexpr const char* kIndex = "model.safetensors.index.json";
constexpr const char* kConfig = R"({"model_type":"x"})";

class HfFolderTest : public testing::Test {
 protected:
  void SetUp() override { folder_.write("config.json", kConfig); }

  /// Reads on `ranks` threads; what they got, in rank order.
  std::vector<HfFolder> read_on(int ranks, const std::string& name = "") const {
    std::vector<HfFolder> read(static_cast<size_t>(ranks));
    run_ranks(ranks, {}, {}, [&](Backend& backend, Communicator& world) {
      ControlChannel control(backend, world);
      read[static_cast<size_t>(world.rank())] = read_hf_folder(folder_.path(name), control);
    });
    return read;
  }
  HfFolder read() const { return read_on(1)[0]; }

  /// Every rank must refuse with these parts in its message.
  void refuses(std::initializer_list<std::string_view> parts) const {
    for (const int ranks : {1, 3}) {
      run_ranks(ranks, {}, {}, [&](Backend& backend, Communicator& world) {
        ControlChannel control(backend, world);
        expect_error(ErrorKind::kInput, parts, [&] { read_hf_folder(folder_.path(""), control); });
      });
    }
  }

  /// Shards "a.safetensors" with tensors a0, a1 and "b.safetensors" with b0, and their index.
  void write_shards(const std::string& map =
                        R"("a0":"a.safetensors","b0":"b.safetensors","a1":"a.safetensors")") const {
    folder_.write("a.safetensors",
                  safetensors({{"a0", "F32", {2}, "12345678"}, {"a1", "U8", {3}, "abc"}}));
    folder_.write("b.safetensors", safetensors({{"b0", "BF16", {1, 2}, "wxyz"}}));
    write_index(map);
  }
  void write_index(const std::string& map) const {
    folder_.write(kIndex, R"({"metadata":{"total_size":"much"},"weight_map":{)" + map + "}}");
  }

  std::string write_bin(const std::string& tree, const std::string& name = "pytorch_model.bin",
                        uint16_t method = 0) const {
    return folder_.write(name, write_zip({{"archive/data.pkl", text::whole(tree), method},
                                          {"archive/data/0", std::string(24, 'x')}}));
  }
  /// A dictionary as torch.save writes a state dict: ordered, with a state of its own.
  static std::string ordered(const std::vector<std::pair<std::string, std::string>>& items) {
    std::string bytes = text::call("collections", "OrderedDict", {}) + "(";
    for (const auto& [key, value] : items) bytes += text::text(key) + value;
    return bytes + "u" + text::dict({{"_metadata", text::dict({})}}) + "b";
  }

  TempFolder folder_;
};

TEST_F(HfFolderTest, IsAFolderWithAConfiguration) {
  EXPECT_TRUE(is_hf_folder(folder_.path("")));
  fs::remove(folder_.path("config.json"));
  EXPECT_FALSE(is_hf_folder(folder_.path("")));
  EXPECT_FALSE(is_hf_folder(folder_.path("absent")));
  refuses({"config.json"});
}

TEST_F(HfFolderTest, OneFile) {
  folder_.write("model.safetensors", safetensors({{"w", "F16", {2, 1}, "1234"}}));
  folder_.write("generation_config.json", "{\"eos_token_id\":2}");
  const HfFolder got = read();
  EXPECT_EQ(got.directory, folder_.path(""));
  EXPECT_EQ(got.config_text, kConfig);
  EXPECT_EQ(fs::path(got.config_path).filename(), "config.json");
  EXPECT_EQ(got.generation_text, "{\"eos_token_id\":2}");
  ASSERT_EQ(got.files.size(), 1u);
  EXPECT_EQ(got.files[0].bytes, static_cast<int64_t>(fs::file_size(got.files[0].path)));
  EXPECT_EQ(got.files[0].identity, RandomFile(got.files[0].path).identity());
  ASSERT_EQ(got.tensors.size(), 1u);
  EXPECT_EQ(got.tensors.at("w").entry.shape, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(got.tensors.at("w").storage_type, "F16");
  EXPECT_TRUE(got.warnings.empty());
  EXPECT_TRUE(read_on(1)[0].generation_text.size() > 0);
}

TEST_F(HfFolderTest, ShardsAreReadOnceByOneRankEach) {
  write_shards();
  for (const int ranks : {1, 2, 3}) {
    SCOPED_TRACE(ranks);
    const std::vector<HfFolder> read = read_on(ranks);
    int64_t bytes_read = 0;
    for (const HfFolder& got : read) {
      bytes_read += got.header_bytes_read;
      EXPECT_EQ(got.config_text, kConfig);
      EXPECT_EQ(got.generation_text, "");
      ASSERT_EQ(got.files.size(), 2u);
      EXPECT_EQ(fs::path(got.files[1].path).filename(), "b.safetensors");
      EXPECT_EQ(got.tensors.size(), 3u);
      EXPECT_EQ(got.tensors.at("a1").entry.file, 0);
      EXPECT_EQ(got.tensors.at("b0").entry.file, 1);
      EXPECT_EQ(got.tensors.at("b0").entry, read[0].tensors.at("b0").entry);
      EXPECT_EQ(got.tensors.at("b0").places, read[0].tensors.at("b0").places);
      CheckpointIndex index;
      index.files = got.files;
      std::string data(4, 0);
      TensorReader(index).read("b0", got.tensors.at("b0").entry, 0, 2, data.data());
      EXPECT_EQ(data, "wxyz");
    }
    const auto size = [&](const char* name) {
      return static_cast<int64_t>(fs::file_size(folder_.path(name)));
    };
    EXPECT_EQ(bytes_read, size("config.json") + size(kIndex) + size("a.safetensors") - 11 +
                              size("b.safetensors") - 4);
    EXPECT_EQ(read.back().header_bytes_read == 0, ranks == 3);
  }
}

TEST_F(HfFolderTest, PrefersTheIndexAndSafetensors) {
  write_shards();
  folder_.write("model.safetensors", safetensors({{"single", "U8", {1}, "x"}}));
  write_bin(text::dict({{"bin", text::tensor({})}}));
  EXPECT_EQ(read().tensors.count("a0"), 1u);
  fs::remove(folder_.path(kIndex));
  EXPECT_EQ(read().tensors.count("single"), 1u);
  fs::remove(folder_.path("model.safetensors"));
  EXPECT_EQ(read().tensors.count("bin"), 1u);
}

TEST_F(HfFolderTest, TensorsTheIndexDoesNotNameAreKept) {
  write_shards(R"("a0":"a.safetensors","b0":"b.safetensors")");
  EXPECT_EQ(read().tensors.count("a1"), 1u);
}

TEST_F(HfFolderTest, TheIndexMustBeTrue) {
  write_shards(R"("a0":"a.safetensors","b0":"a.safetensors","a1":"b.safetensors")");
  refuses({kIndex, "'a1'", "is in", "b.safetensors"});
  write_index(R"("a0":"a.safetensors","c":"b.safetensors")");
  refuses({kIndex, "'c'", "no file has it"});
  write_index(R"("a0":"a.safetensors","b0":"b.safetensors","a0":"b.safetensors")");
  refuses({kIndex, "'a0' twice"});
  write_index(R"("a0":"a.safetensors","b0":"c.safetensors")");
  refuses({"c.safetensors", "No such file", kIndex});
  write_index("");
  refuses({kIndex, "weight_map"});
  folder_.write(kIndex, "{}");
  refuses({kIndex, "weight_map"});
  folder_.write(kIndex, "{\"weight_map\":");
  refuses({kIndex, "no valid JSON"});
  folder_.write(kIndex, R"({"weight_map":{"a0":"a.safetensors"},"weight_map":{}})");
  refuses({kIndex, "'weight_map' twice"});
}

TEST_F(HfFolderTest, FileNamesMustBePlain) {
  write_shards();
  folder_.write("plain", "x");
  for (const char* name :
       {"\"../a.safetensors\"", "\"/etc/a.safetensors\"", "\"sub/a.safetensors\"",
        "\"..\\\\a.safetensors\"", "\"..\"", "\"\"", "\".safetensors\"", "\"a\\u0000.safetensors\"",
        "\"plain\"", "\"config.json\"", "7", "null", "[\"a.safetensors\"]"}) {
    SCOPED_TRACE(name);
    write_index(concat("\"a0\":", name));
    refuses({kIndex, "'a0'", "expected the name of a .safetensors file"});
  }
}

TEST_F(HfFolderTest, ATensorInTwoFilesIsRefused) {
  write_shards();
  folder_.write("b.safetensors",
                safetensors({{"b0", "BF16", {1, 2}, "wxyz"}, {"a1", "U8", {3}, "abc"}}));
  refuses({"'a1'", "a.safetensors", "b.safetensors"});
}

TEST_F(HfFolderTest, AnErrorOfAnyFileReachesEveryRank) {
  write_shards();
  folder_.write("b.safetensors", "broken");
  refuses({"b.safetensors", "6 bytes"});
}

TEST_F(HfFolderTest, LinksStayInTheFolderOrTheHubsCache) {
  const TempFolder cache;
  const std::string file = safetensors({{"w", "U8", {1}, "x"}});
  for (const char* name : {"m/blobs", "m/snapshots/r1", "elsewhere"}) {
    fs::create_directories(cache.path(name));
  }
  cache.write("m/blobs/1", kConfig);
  cache.write("m/blobs/2", file);
  cache.write("elsewhere/2", file);
  const fs::path snapshot = cache.path("m/snapshots/r1");
  fs::create_symlink("../../blobs/1", snapshot / "config.json");
  fs::create_symlink("../../blobs/2", snapshot / "model.safetensors");
  EXPECT_EQ(find_hf_files(snapshot.string()).paths.size(), 1u);
  fs::remove(snapshot / "model.safetensors");
  fs::create_symlink("../../../elsewhere/2", snapshot / "model.safetensors");
  expect_error(ErrorKind::kInput, {"model.safetensors", "outside the folder"},
               [&] { find_hf_files(snapshot.string()); });

  folder_.write("other", file);
  fs::create_symlink("other", folder_.path("model.safetensors"));
  EXPECT_EQ(read().tensors.size(), 1u);
  fs::remove(folder_.path("model.safetensors"));
  fs::create_symlink(cache.path("elsewhere/2"), folder_.path("model.safetensors"));
  refuses({"model.safetensors", "outside the folder"});
  fs::remove(folder_.path("model.safetensors"));
  fs::create_symlink("nowhere", folder_.path("model.safetensors"));
  refuses({"model.safetensors", "No such file"});
}

TEST_F(HfFolderTest, TellsWhatIsMissing) {
  refuses({"no weights", kIndex, "pytorch_model.bin"});
  folder_.write("model-00001-of-00003.safetensors", safetensors({{"w", "U8", {1}, "x"}}));
  refuses({kIndex, "is missing", "model-00001-of-00003.safetensors is there"});
  fs::remove(folder_.path("model-00001-of-00003.safetensors"));
  folder_.write("pytorch_model-00002-of-00003.bin", "");
  refuses({"pytorch_model.bin.index.json", "is missing", "pytorch_model-00002-of-00003.bin"});
}

TEST_F(HfFolderTest, WarnsOfShardsThatAreNotRead) {
  folder_.write("model.safetensors", safetensors({{"w", "U8", {1}, "x"}}));
  folder_.write("model-00001-of-00001.safetensors", "");
  folder_.write("model-x-of-00001.safetensors", "");
  folder_.write("model-of-1.safetensors", "");
  const std::vector<HfFolder> read = read_on(2);
  ASSERT_EQ(read[1].warnings.size(), 1u);
  EXPECT_EQ(read[1].warnings, read[0].warnings);
  EXPECT_NE(read[1].warnings[0].find("model-00001-of-00001.safetensors is not read"),
            std::string::npos);
}

TEST_F(HfFolderTest, BoundsTheConfigurations) {
  folder_.write("model.safetensors", safetensors({{"w", "U8", {1}, "x"}}));
  std::string large((16 << 20) + 1, ' ');
  folder_.write("generation_config.json", large);
  refuses({"generation_config.json", "16777217 bytes"});
  large.pop_back();
  folder_.write("generation_config.json", large);
  EXPECT_EQ(read().generation_text.size(), large.size());
  fs::remove(folder_.path("config.json"));
  fs::create_directory(folder_.path("config.json"));
  refuses({"config.json", "not a regular file"});
}

TEST_F(HfFolderTest, StateDictsInBothContainers) {
  const std::string tree = ordered({{"w", text::tensor({})}});
  write_bin(tree);
  EXPECT_EQ(read().tensors.at("w").entry.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(read().tensors.at("w").storage_type, "FloatStorage");
  write_bin(text::dict({{"w", text::tensor({})}}));
  EXPECT_EQ(read().tensors.size(), 1u);
  folder_.write("pytorch_model.bin", write_legacy(tree, {{"0", std::string(24, 'x'), 6}}));
  EXPECT_EQ(read().tensors.at("w").entry.shape, (std::vector<int64_t>{2, 3}));
}

TEST_F(HfFolderTest, ShardedStateDicts) {
  write_bin(ordered({{"w", text::tensor({})}}), "p-1.bin");
  write_bin(ordered({{"v", text::tensor({.shape = {3, 2}, .strides = {1, 3}})}}), "p-2.bin");
  folder_.write("pytorch_model.bin.index.json", R"({"weight_map":{"v":"p-2.bin","w":"p-1.bin"}})");
  for (const HfFolder& got : read_on(3)) {
    EXPECT_EQ(got.files.size(), 2u);
    EXPECT_EQ(got.tensors.at("v").entry.file, 1);
    EXPECT_EQ(got.tensors.at("v").entry.strides, (std::vector<int64_t>{1, 3}));
  }
  folder_.write("pytorch_model.bin.index.json", R"({"weight_map":{"v":"a.safetensors"}})");
  refuses({"'v'", ".bin file"});
}

TEST_F(HfFolderTest, RefusesWhatNoStateDictHolds) {
  write_bin(ordered(
      {{"w", text::tensor({})}, {"x", text::call("builtins", "print", {text::text("hello")})}}));
  refuses({"pytorch_model.bin", "builtins.print", "nothing in it was executed"});
  // Not even where nobody looks: as the state of the dictionary.
  write_bin(text::call("collections", "OrderedDict", {}) +
            text::call("os", "system", {text::text("true")}) + "b");
  refuses({"os.system"});
  write_bin(ordered({{"w", text::tensor({.type = "StrangeStorage"})}}));
  refuses({"'w'", "torch.StrangeStorage"});
  write_bin(ordered({{"model", text::dict({{"w", text::tensor({})}})}}));
  refuses({"'model'", "expected a tensor", "a dict of 1"});
  write_bin(text::list({text::tensor({})}));
  refuses({"expected a dictionary of tensors", "a list of 1"});
  write_bin(ordered({{"w", text::tensor({})}, {"w", text::tensor({})}}));
  refuses({"'w'", "twice in the state dict"});
  write_bin("}(" + text::number(1) + text::tensor({}) + "u");
  refuses({"a key of the state dict", "the number 1"});
  write_bin(ordered({{"w", text::tensor({})}}), "pytorch_model.bin", 8);
  refuses({"pytorch_model.bin", "compress"});
  const std::string path = write_bin(ordered({{"w", text::tensor({})}}));
  fs::resize_file(path, fs::file_size(path) / 2);
  refuses({"pytorch_model.bin"});
}

}  // namespace
}  // namespace switchyard
