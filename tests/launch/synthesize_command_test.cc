#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "launch/synthesize_options.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// The options that these arguments give.
SynthesizeOptions parse(const std::vector<std::string>& arguments) {
  SynthesizeOptions options;
  OptionTable table = make_synthesize_option_table(options);
  table.apply({}, table.parse_arguments(arguments).assignments);
  return options;
}

TEST(SynthesizeOptionsTest, AllAreStored) {
  const SynthesizeOptions options = parse({"--preset",     "moe_15b",
                                           "--output",     "out",
                                           "--layers",     "2",
                                           "--experts",    "16",
                                           "--rank-files", "4",
                                           "--dtype",      "bf16",
                                           "--seed",       "18446744073709551615",
                                           "--threads",    "3",
                                           "--log-level",  "error",
                                           "--progress",   "none"});
  EXPECT_EQ(options.preset, "moe_15b");
  EXPECT_EQ(options.output, "out");
  EXPECT_EQ(options.changes.layers, 2);
  EXPECT_EQ(options.changes.experts, 16);
  EXPECT_EQ(options.changes.rank_files, 4);
  EXPECT_EQ(options.changes.dtype, DType::kBF16);
  EXPECT_EQ(options.seed, 18446744073709551615u);
  EXPECT_EQ(options.num_threads, 3);
  EXPECT_EQ(options.log_level, LogLevel::kError);
  EXPECT_EQ(options.progress, ProgressForm::kNone);
}

TEST(SynthesizeOptionsTest, HuggingFaceModelsHaveTheirOwn) {
  const SynthesizeOptions options = parse({"--preset", "olmoe_1b_7b", "--output", "out", "--set",
                                           R"({"hidden_size": 64})", "--shard-size", "2MiB"});
  EXPECT_EQ(options.changes.config_json, R"({"hidden_size": 64})");
  EXPECT_EQ(options.changes.shard_bytes, 2 << 20);
}

TEST(SynthesizeOptionsTest, PresetsAreLeftAsTheyAre) {
  const SynthesizeOptions options = parse({"--preset", "moe_15b", "--output", "out"});
  EXPECT_FALSE(options.changes.layers || options.changes.experts || options.changes.rank_files ||
               options.changes.dtype || options.changes.shard_bytes);
  EXPECT_EQ(options.changes.config_json, "");
  EXPECT_EQ(options.seed, 1u);
  EXPECT_EQ(options.num_threads, 0);
}

TEST(SynthesizeOptionsTest, WrongOnesAreRefused) {
  const auto expect_refused = [](const std::vector<std::string>& arguments,
                                 std::initializer_list<std::string_view> parts) {
    std::vector<std::string> all = {"--preset", "moe_15b", "--output", "out"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    expect_error(ErrorKind::kUsage, parts, [&] { parse(all); });
  };
  expect_refused({"--layers", "0"}, {"--layers is '0'", "1 to 65536"});
  expect_refused({"--experts", "many"}, {"--experts is 'many'", "whole number"});
  expect_refused({"--rank-files", "-1"}, {"--rank-files is '-1'"});
  expect_refused({"--dtype", "fp8"}, {"--dtype is 'fp8'", "fp16, bf16, fp32"});
  expect_refused({"--seed", "-1"}, {"--seed is '-1'"});
  expect_refused({"--set", ""}, {"--set is ''", "JSON object"});
  expect_refused({"--shard-size", "0"}, {"--shard-size is '0'"});
  expect_refused({"--rank-file", "2"}, {"did you mean '--rank-files'"});
  expect_error(ErrorKind::kUsage, {"synthesize needs --preset"}, [] { parse({"--output", "o"}); });
  expect_error(ErrorKind::kUsage, {"synthesize needs --output"}, [] { parse({"--preset", "p"}); });
}

/// Runs the program, `launcher` in front; returns its exit status.
int run(const std::string& arguments, const TempFolder& folder, const std::string& launcher = "") {
  const std::string command = launcher + " " + SWITCHYARD_PROGRAM + " synthesize " + arguments +
                              " >" + folder.path("stdout") + " 2>" + folder.path("stderr") +
                              " </dev/null";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string tiny_preset(const TempFolder& folder) {
  return folder.write("tiny.yaml",
                      "family: fairseq\nlayers: 2\nhidden_size: 16\nffn_size: 16\nheads: 2\n"
                      "vocab_size: 20\nmax_positions: 8\ndtype: fp16\nexperts: 4\n");
}

TEST(SynthesizeCommandTest, WritesACheckpointOnce) {
  const TempFolder folder;
  const std::string arguments = "--threads 1 --preset " + tiny_preset(folder) +
                                " --rank-files 2 --output " + folder.path("out");
  EXPECT_EQ(run(arguments, folder), 0) << folder.read("stderr");
  EXPECT_TRUE(fs::exists(folder.path("out/model-shared.pt")));
  EXPECT_TRUE(fs::exists(folder.path("out/model-rank-1.pt")));
  EXPECT_NE(folder.read("stderr").find(" bytes in "), std::string::npos) << folder.read("stderr");
  EXPECT_EQ(folder.read("stdout"), "");
  EXPECT_EQ(run(arguments, folder), 3);
  EXPECT_NE(folder.read("stderr").find("stands there already"), std::string::npos);
  EXPECT_EQ(run(arguments + " --layers 1", folder), 2);
  EXPECT_NE(folder.read("stderr").find("--layers is '1'"), std::string::npos);
}

TEST(SynthesizeCommandTest, WritesAHuggingFaceFolder) {
  const TempFolder folder;
  const std::string tiny =
      R"('{"hidden_size": 32, "intermediate_size": 16, "num_attention_heads": 2, "vocab_size": 50,)"
      R"( "num_key_value_heads": 2}')";
  const std::string arguments = "--threads 1 --preset olmoe_1b_7b --layers 2 --experts 4 --set " +
                                tiny + " --output " + folder.path("out");
  EXPECT_EQ(run(arguments, folder), 0) << folder.read("stderr");
  EXPECT_TRUE(fs::exists(folder.path("out/config.json")));
  EXPECT_TRUE(fs::exists(folder.path("out/model.safetensors")));
  EXPECT_NE(folder.read("stderr").find("num_experts_per_tok is 4 instead of 8"), std::string::npos);
  EXPECT_EQ(run(arguments, folder), 3);
  EXPECT_EQ(run(arguments + "2 --rank-files 2", folder), 2);
}

#ifdef SWITCHYARD_MPIRUN
TEST(SynthesizeCommandTest, ManyRanksWriteTheSameFiles) {
  const TempFolder folder;
  const std::string preset = "--threads 1 --rank-files 4 --preset " + tiny_preset(folder);
  ASSERT_EQ(run(preset + " --output " + folder.path("one"), folder), 0);
  const std::string launcher = concat("ASAN_OPTIONS=detect_leaks=0 ", SWITCHYARD_MPIRUN,
                                      " --allow-run-as-root --oversubscribe --bind-to none -np 3");
  EXPECT_EQ(run(preset + " --output " + folder.path("three"), folder, launcher), 0)
      << folder.read("stderr");
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder.path("one"))) {
    const std::string name = entry.path().filename().string();
    EXPECT_EQ(folder.read("one/" + name), folder.read("three/" + name)) << name;
    ++files;
  }
  EXPECT_EQ(files, 5);
}
#endif

}  // namespace
}  // namespace switchyard
