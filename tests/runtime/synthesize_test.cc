#include "runtime/synthesize.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/synthetic_weights.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/synthesize_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

const std::string kDense =
    "family: fairseq\nlayers: 4\nhidden_size: 24\nffn_size: 40\nheads: 4\nvocab_size: 90\n"
    "max_positions: 64\ndtype: fp16\n";
const std::string kMoe = kDense + "experts: 8\n";

/// Writes the preset's model, opens it and compares configuration and every element.
void expect_round_trip(const std::string& text, const PresetChanges& changes = {}) {
  SCOPED_TRACE(text);
  const TempFolder folder;
  SynthesizeOptions options = options_for(folder.write("m.yaml", text), folder.path("out"));
  options.changes = changes;
  options.seed = 7;
  synthesize(options);
  const ModelPreset preset = load_preset(options.preset, changes);
  const Checkpoint checkpoint = open(options.output);
  EXPECT_TRUE(checkpoint.warnings.empty()) << checkpoint.warnings.front();
  EXPECT_EQ(checkpoint.index.files.size(), static_cast<size_t>(1 + preset.rank_files));
  const ModelConfig& found = checkpoint.config;
  const ModelConfig& wanted = preset.config;
  EXPECT_EQ(found.weight_dtype, wanted.weight_dtype);
  EXPECT_EQ(found.layers, wanted.layers);
  EXPECT_EQ(found.num_heads, wanted.num_heads);
  EXPECT_EQ(found.vocab_size, wanted.vocab_size);
  EXPECT_EQ(found.max_positions, wanted.max_positions);
  EXPECT_EQ(found.position_kind, wanted.position_kind);
  EXPECT_EQ(found.norm_placement, wanted.norm_placement);
  EXPECT_EQ(found.final_norm, wanted.final_norm);
  EXPECT_EQ(found.ffn_form.activation, wanted.ffn_form.activation);
  EXPECT_EQ(found.embedding_scale, wanted.embedding_scale);
  EXPECT_EQ(found.start_token, wanted.start_token);
  EXPECT_EQ(found.names.output, wanted.names.output);
  EXPECT_EQ(found.router.top_k, wanted.router.top_k);
  EXPECT_EQ(found.router.norm, wanted.router.norm);
  EXPECT_EQ(found.capacity.eval_fraction, wanted.capacity.eval_fraction);
  EXPECT_EQ(found.capacity.norm_order, wanted.capacity.norm_order);
  EXPECT_EQ(found.capacity.slot_order, wanted.capacity.slot_order);
  EXPECT_EQ(found.capacity.pads, wanted.capacity.pads);
  TensorReader reader(checkpoint.index);
  const SyntheticWeights weights(options.seed);
  for (const ExpectedTensor& tensor : expected_tensors(found)) {
    const TensorEntry& entry = checkpoint.index.at(tensor.name);
    EXPECT_EQ(entry.dtype, preset.dtype) << tensor.name;
    EXPECT_EQ(entry.shape, tensor.shape) << tensor.name;
    std::vector<uint32_t> stored(static_cast<size_t>(entry.num_elements()));
    std::vector<uint32_t> expected(stored.size());
    reader.read(tensor.name, entry, 0, entry.num_elements(), stored.data());
    weights.fill(synthetic_tensor(wanted, tensor.name, tensor.shape, preset.dtype), 0,
                 entry.num_elements(), expected.data());
    EXPECT_EQ(stored, expected) << tensor.name;
  }
}

TEST(SynthesizeTest, DenseModelsAreReadBack) {
  expect_round_trip(kDense);
  expect_round_trip(kDense, {.layers = 1, .dtype = DType::kBF16});
  expect_round_trip(kDense + "positions: learned\nactivation: relu\nstart_token: bos\n");
  expect_round_trip(kDense + "tied_output: false\nscale_embedding: false\n",
                    {.dtype = DType::kF32});
  expect_round_trip(kDense + "norm: post\n");
  expect_round_trip(kDense + "final_norm: false\n");
}

TEST(SynthesizeTest, MixturesOfExpertsAreReadBack) {
  for (const int64_t rank_files : {1, 2, 4, 8}) {
    expect_round_trip(kMoe, {.rank_files = rank_files});
  }
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    expect_round_trip(kMoe + "positions: learned\ntied_output: false\n",
                      {.rank_files = 2, .dtype = dtype});
  }
  expect_round_trip(kMoe + "moe_every: 3\n", {.layers = 7, .experts = 12, .rank_files = 12});
  expect_round_trip(kMoe +
                    "moe_every: 1\ncapacity_fraction: 0.5\ngate_norm: before_dropping\n"
                    "slot_order: probability\npad_routing: masked\n");
  expect_round_trip(kMoe + "top_k: 1\n");
}

TEST(SynthesizeTest, FilesDoNotDependOnRanksOrThreads) {
  const TempFolder folder;
  const std::string preset = folder.write("m.yaml", kMoe + "rank_files: 4\n");
  SynthesizeOptions options = options_for(preset, folder.path("one"));
  const int64_t bytes = synthesize(options);
  const std::map<std::string, std::string> expected = contents(folder, "one");
  EXPECT_EQ(expected.size(), 5u);
  int64_t total = 0;
  for (const auto& [name, text] : expected) total += static_cast<int64_t>(text.size());
  EXPECT_EQ(bytes, total);
  for (const int num_ranks : {1, 2, 3, 4, 5, 8}) {
    const std::string name = concat("ranks-", num_ranks);
    options.output = folder.path(name);
    options.num_threads = 1 + num_ranks % 3;
    EXPECT_EQ(synthesize(options, num_ranks), bytes);
    EXPECT_EQ(contents(folder, name), expected) << num_ranks << " ranks";
  }
}

TEST(SynthesizeTest, WeightsDoNotDependOnRankFilesButOnTheSeed) {
  const TempFolder folder;
  const std::string preset = folder.write("m.yaml", kMoe);
  const std::string name = "decoder.layers.3.moe_layer.experts.5.fc2.weight";
  const auto weights = [&](int64_t rank_files, uint64_t seed) {
    SynthesizeOptions options =
        options_for(preset, folder.path(concat("f", rank_files, "s", seed)));
    options.changes.rank_files = rank_files;
    options.seed = seed;
    synthesize(options);
    const Checkpoint checkpoint = open(options.output);
    TensorReader reader(checkpoint.index);
    const TensorEntry& entry = checkpoint.index.at(name);
    std::vector<uint16_t> values(static_cast<size_t>(entry.num_elements()));
    reader.read(name, entry, 0, entry.num_elements(), values.data());
    return values;
  };
  EXPECT_EQ(weights(1, 1), weights(4, 1));
  EXPECT_NE(weights(2, 1), weights(2, 2));
}

TEST(SynthesizeTest, ACheckpointIsNeverOverwritten) {
  const TempFolder folder;
  const std::string preset = folder.write("m.yaml", kDense);
  for (const char* name : {"model.pt", "model-shared.pt", "model-rank-7.pt"}) {
    const std::string output = folder.path(std::string("with-") + name);
    fs::create_directory(output);
    folder.write(std::string("with-") + name + "/" + name, "precious");
    expect_error(ErrorKind::kInput, {name, "stands there already", "--output"},
                 [&] { synthesize(options_for(preset, output), 2); });
    EXPECT_EQ(folder.read(std::string("with-") + name + "/" + name), "precious");
    EXPECT_EQ(contents(folder, std::string("with-") + name).size(), 1u);
  }
}

TEST(SynthesizeTest, OtherFilesStayAndLeftoversAreReplaced) {
  const TempFolder folder;
  fs::create_directory(folder.path("out"));
  folder.write("out/dict.txt", "a 1\n");
  folder.write("out/model.pt.tmp", std::string(1 << 20, 'x'));
  synthesize(options_for(folder.write("m.yaml", kDense), folder.path("out")));
  const std::map<std::string, std::string> files = contents(folder, "out");
  EXPECT_EQ(files.size(), 2u);
  EXPECT_EQ(files.count("model.pt"), 1u);
  EXPECT_NO_THROW(open(folder.path("out")));
}

TEST(SynthesizeTest, FoldersAreMade) {
  const TempFolder folder;
  const std::string preset = folder.write("m.yaml", kDense);
  synthesize(options_for(preset, folder.path("a/b/c")));
  EXPECT_EQ(contents(folder, "a/b/c").size(), 1u);
  expect_error(ErrorKind::kInput, {"m.yaml", "--output"},
               [&] { synthesize(options_for(preset, preset)); });
}

TEST(SynthesizeTest, WrongPresetsAreToldByAllRanks) {
  const TempFolder folder;
  for (const int num_ranks : {1, 3}) {
    expect_error(ErrorKind::kUsage, {"unknown preset 'moe_15'"},
                 [&] { synthesize(options_for("moe_15", folder.path("out")), num_ranks); });
    expect_error(ErrorKind::kInput, {"absent.yaml"}, [&] {
      synthesize(options_for(folder.path("absent.yaml"), folder.path("out")), num_ranks);
    });
    const std::string wrong = folder.write("wrong.yaml", kDense + "expert: 2\n");
    expect_error(ErrorKind::kUsage, {"wrong.yaml, line 9", "'expert'", "'experts'"},
                 [&] { synthesize(options_for(wrong, folder.path("out")), num_ranks); });
  }
  EXPECT_FALSE(fs::exists(folder.path("out"))) << "nothing is made for a wrong preset";
}

TEST(SynthesizeTest, MoreThanTheDiskHasIsRefusedBeforeAnythingIsWritten) {
  const TempFolder folder;
  // 2^30 rows of 2^17 fp32: half a petabyte.
  const std::string preset =
      folder.write("m.yaml",
                   "family: fairseq\nlayers: 1\nhidden_size: 131072\nffn_size: 40\nheads: 4\n"
                   "vocab_size: 1073741824\nmax_positions: 64\ndtype: fp32\n");
  expect_error(ErrorKind::kResource, {"out", "needs 51", "TiB", "free"},
               [&] { synthesize(options_for(preset, folder.path("out")), 2); });
  EXPECT_EQ(contents(folder, "out").size(), 0u);
}

TEST(SynthesizeTest, AFailingWriteLeavesNothing) {
  const TempFolder folder;
  const std::string preset = folder.write("m.yaml", kMoe + "rank_files: 4\n");
  // No file may grow beyond what the files of the ranks have: the shared one fails.
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 30000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto run = [&] { synthesize(options_for(preset, folder.path("out")), 2); };
  expect_error(ErrorKind::kResource, {"model-shared.pt.tmp", "File too large"}, run);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(contents(folder, "out").size(), 0u);
  EXPECT_NO_THROW(run());
}

}  // namespace
}  // namespace switchyard
