#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "launch/convert_options.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

ConvertOptions parse(const std::vector<std::string>& arguments) {
  ConvertOptions options;
  OptionTable table = make_convert_option_table(options);
  table.apply({}, table.parse_arguments(arguments).assignments);
  return options;
}

TEST(ConvertOptionsTest, AllAreStored) {
  const ConvertOptions options =
      parse({"--model", "in", "--output", "out", "--expert-dtype", "int4:g32", "--attention-dtype",
             "int8", "--shard-size", "2MiB", "--threads", "3", "--log-level", "error", "--progress",
             "none"});
  EXPECT_EQ(options.model, "in");
  EXPECT_EQ(options.output, "out");
  EXPECT_EQ(options.quantization.experts, (GroupQuantization{4, 32}));
  EXPECT_EQ(options.quantization.attention, (GroupQuantization{8, 128}));
  EXPECT_EQ(options.shard_bytes, 2 << 20);
  EXPECT_EQ(options.num_threads, 3);
  EXPECT_EQ(options.log_level, LogLevel::kError);
  EXPECT_EQ(options.progress, ProgressForm::kNone);
}

TEST(ConvertOptionsTest, DefaultsKeepAllBits) {
  const ConvertOptions options = parse({"--model", "in", "--output", "out"});
  EXPECT_EQ(options.quantization, WeightQuantization());
  EXPECT_EQ(options.shard_bytes, int64_t{8} << 30);
  EXPECT_EQ(options.num_threads, 0);
}

TEST(ConvertOptionsTest, WrongOnesAreRefused) {
  const auto expect_refused = [](const std::vector<std::string>& arguments,
                                 std::initializer_list<std::string_view> parts) {
    std::vector<std::string> all = {"--model", "in", "--output", "out"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    expect_error(ErrorKind::kUsage, parts, [&] { parse(all); });
  };
  expect_refused({"--expert-dtype", "int5"}, {"--expert-dtype is 'int5'", "stored"});
  expect_refused({"--shard-size", "0"}, {"--shard-size is '0'"});
  expect_refused({"--expert-type", "int8"}, {"did you mean '--expert-dtype'"});
  expect_error(ErrorKind::kUsage, {"convert needs --model"}, [] { parse({"--output", "o"}); });
  expect_error(ErrorKind::kUsage, {"convert needs --output"}, [] { parse({"--model", "m"}); });
}

const std::string kModel = std::string(SWITCHYARD_TEST_DATA) + "/trained_moe_8e";

/// Runs the program; returns its exit status.
int run(const std::string& arguments, const TempFolder& folder, const std::string& launcher = "") {
  const std::string command = launcher + " " + SWITCHYARD_PROGRAM + " " + arguments + " >" +
                              folder.path("stdout") + " 2>" + folder.path("stderr") + " </dev/null";
  const int status = std::system(command.c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ConvertCommandTest, AConvertedFolderServesEveryCommand) {
  const TempFolder folder;
  const std::string converted = folder.path("converted");
  const std::string convert = "convert --threads 1 --model " + kModel + " --output " + converted;
  ASSERT_EQ(run(convert, folder), 0) << folder.read("stderr");
  EXPECT_NE(folder.read("stderr").find("packed as panel32-1"), std::string::npos);
  EXPECT_EQ(folder.read("stdout"), "");
  EXPECT_EQ(run(convert, folder), 3);
  EXPECT_NE(folder.read("stderr").find("stands there already"), std::string::npos);
  const std::vector<std::string> commands = {
      "generate --prompt \"the \" --max-new-tokens 5",
      "perplexity --input " + kModel + "/heldout_text.txt",
      "tokenize --output - --input " + kModel + "/requests_text.jsonl"};
  for (const std::string& command : commands) {
    ASSERT_EQ(run(command + " --model " + kModel, folder), 0) << folder.read("stderr");
    const std::string expected = folder.read("stdout");
    EXPECT_FALSE(expected.empty());
    ASSERT_EQ(run(command + " --model " + converted, folder), 0) << folder.read("stderr");
    EXPECT_EQ(folder.read("stdout"), expected) << command;
  }
  ASSERT_EQ(run("inspect --tensors --ranks 2 --model " + converted, folder), 0);
  const std::string report = folder.read("stdout");
  for (const char* part : {"packed as          panel32-1", "experts-00001-of-00001.bin  packed",
                           "decoder.layers.1.moe_layer.experts.7.fc2.weight"}) {
    EXPECT_NE(report.find(part), std::string::npos) << part << " not in " << report;
  }
}

#ifdef SWITCHYARD_MPIRUN
TEST(ConvertCommandTest, ManyRanksWriteTheSameFiles) {
  const TempFolder folder;
  const std::string convert = "convert --threads 1 --expert-dtype int4 --model " + kModel;
  ASSERT_EQ(run(convert + " --output " + folder.path("one"), folder), 0);
  const std::string launcher = concat("ASAN_OPTIONS=detect_leaks=0 ", SWITCHYARD_MPIRUN,
                                      " --allow-run-as-root --oversubscribe --bind-to none -np 3");
  EXPECT_EQ(run(convert + " --output " + folder.path("three"), folder, launcher), 0)
      << folder.read("stderr");
  int files = 0;
  for (const auto& entry : fs::directory_iterator(folder.path("one"))) {
    const std::string name = entry.path().filename().string();
    EXPECT_EQ(folder.read("one/" + name), folder.read("three/" + name)) << name;
    ++files;
  }
  EXPECT_EQ(files, 6);
}
#endif

}  // namespace
}  // namespace switchyard
