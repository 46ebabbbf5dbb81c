// The program as users start it: texts, exit statuses, and what it leaves behind.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

struct ProgramRun {
  int status = -1;
  std::string out;
  std::string err;
};

std::string read_file(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A folder of its own for every test.
class Cli : public testing::Test {
 protected:
  Cli() {
    std::string name = (fs::temp_directory_path() / "switchyard_cli_XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~Cli() override { fs::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name) << text;
  }

  /// Runs the program with `arguments` (shell words) after `launcher`.
  ProgramRun run(const std::string& arguments, const std::string& launcher = "") const {
    const std::string command = launcher + " " + SWITCHYARD_PROGRAM + " " + arguments + " >" +
                                path("stdout") + " 2>" + path("stderr") + " </dev/null";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(path("stdout")),
            read_file(path("stderr"))};
  }

  /// The options every run of `score` needs, for files of the test's folder.
  std::string score(const std::string& more = "") const {
    return "score --model " + path("model") + " --input " + path("in.jsonl") + " --output " +
           path("out.jsonl") + " " + more;
  }

  fs::path folder_;
};

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_F(Cli, HelpListsCommandsAndOptions) {
  for (const char* arguments : {"--help", "help", ""}) {
    const ProgramRun result = run(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_TRUE(contains(result.out, "score")) << result.out;
    EXPECT_TRUE(contains(result.out, "version")) << result.out;
  }
  const ProgramRun result = run("score --help");
  EXPECT_EQ(result.status, 0);
  EXPECT_TRUE(contains(result.out, "--exchange-buffer BYTES")) << result.out;
  EXPECT_TRUE(contains(result.out, "[default: 64MiB]"));
  EXPECT_EQ(result.err, "");
}

TEST_F(Cli, EveryCommandHasHelp) {
  const std::pair<const char*, const char*> cases[] = {{"perplexity", "--tokens-per-sample N"},
                                                       {"tokenize", "--input TEXTS.jsonl"},
                                                       {"generate", "--prefill-chunk N"},
                                                       {"inspect", "--model DIR_OR_FILE"}};
  for (const auto& [command, option] : cases) {
    EXPECT_TRUE(contains(run("help").out, command));
    const ProgramRun result = run(std::string(command) + " --help");
    EXPECT_EQ(result.status, 0);
    EXPECT_TRUE(contains(result.out, option)) << result.out;
    EXPECT_TRUE(contains(result.out, "switchyard " + std::string(command) + ": ")) << result.out;
    const ProgramRun bare = run(command);
    EXPECT_EQ(bare.status, 2);
    EXPECT_TRUE(contains(bare.err, std::string(command) + " needs --model")) << bare.err;
  }
}

TEST_F(Cli, ResultsGoToStandardOutput) {
  const std::string model = std::string(SWITCHYARD_TEST_DATA) + "/trained_moe_8e";
  const ProgramRun table = run("inspect --model " + model);
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_TRUE(contains(table.out, "fingerprint")) << table.out;
  EXPECT_EQ(run("inspect --json --model " + model).out.front(), '{');
  write("in.txt", "A text.\n");
  const ProgramRun perplexity = run("perplexity --json --threads 1 --log-level error --model " +
                                    model + " --input " + path("in.txt"));
  EXPECT_EQ(perplexity.status, 0) << perplexity.err;
  EXPECT_TRUE(perplexity.out.starts_with("{\"num_tokens\":")) << perplexity.out;
  EXPECT_EQ(perplexity.err, "");
  write("texts.jsonl", "{\"text\": \"A text.\"}\n");
  const ProgramRun tokens =
      run("tokenize --model " + model + " --output - --input " + path("texts.jsonl"));
  EXPECT_EQ(tokens.status, 0) << tokens.err;
  EXPECT_TRUE(tokens.out.starts_with("{\"ids\":[")) << tokens.out;
}

TEST_F(Cli, ARunIsLookedAt) {
  const std::string model = std::string(SWITCHYARD_TEST_DATA) + "/trained_moe_8e";
  const ProgramRun generate =
      run("generate --threads 1 --log-level error --max-new-tokens 4 --model " + model +
          " --input " + model + "/requests_generate.jsonl --output " + path("out.jsonl") +
          " --stats " + path("stats.json") + " --trace " + path("trace.json"));
  EXPECT_EQ(generate.status, 0) << generate.err;
  const ProgramRun report = run("report " + path("stats.json") + " " + path("trace.json") +
                                " --output " + path("page.html"));
  EXPECT_EQ(report.status, 0) << report.err;
  const std::string page = read_file(path("page.html"));
  for (const char* part : {"generate", "Uses of every expert", "The whole run", "</html>"}) {
    EXPECT_TRUE(contains(page, part)) << part;
  }
  EXPECT_EQ(run("report --output - " + path("stats.json")).out.substr(0, 9), "<!DOCTYPE");
  const ProgramRun none = run("report");
  EXPECT_EQ(none.status, 2);
  EXPECT_TRUE(contains(none.err, "report needs FILE.json...")) << none.err;
  const ProgramRun wrong = run("report " + path("out.jsonl"));
  EXPECT_EQ(wrong.status, 3);
  EXPECT_TRUE(contains(wrong.err, "is not a statistics file")) << wrong.err;
}

TEST_F(Cli, AClosedStandardErrorDoesNotReachTheResults) {
  const std::string model = std::string(SWITCHYARD_TEST_DATA) + "/fairseq/dense_fp32";
  const std::string command = std::string(SWITCHYARD_PROGRAM) + " score --threads 1 --model " +
                              model + " --input " + model + "/requests.jsonl --output ";
  EXPECT_EQ(std::system((command + path("all") + " 2>" + path("log")).c_str()), 0);
  EXPECT_EQ(std::system((command + path("closed") + " 2>&-").c_str()), 0);
  EXPECT_EQ(std::system((command + path("none") + " <&- >&- 2>&-").c_str()), 0);
  EXPECT_FALSE(read_file(path("all")).empty());
  EXPECT_EQ(read_file(path("closed")), read_file(path("all")));
  EXPECT_EQ(read_file(path("none")), read_file(path("all")));
}

TEST_F(Cli, NoFileOfTheRunIsOverwritten) {
  fs::copy(std::string(SWITCHYARD_TEST_DATA) + "/fairseq/dense_fp32", path("model"));
  for (const char* name : {"model.pt", "dict.txt", "requests.jsonl"}) {
    const std::string before = read_file(path("model/") + name);
    const ProgramRun result =
        run("score --threads 1 --model " + path("model") + " --input " +
            path("model/requests.jsonl") + " --output " + path("model/") + name);
    EXPECT_EQ(result.status, 2) << name;
    EXPECT_TRUE(contains(result.err, "would overwrite")) << result.err;
    EXPECT_EQ(read_file(path("model/") + name), before);
  }
}

TEST_F(Cli, ABadFileIsRefusedByInspect) {
  const std::string bad = std::string(SWITCHYARD_TEST_DATA) + "/bad/truncated_zip_half/model.pt";
  const ProgramRun result = run("inspect --model " + bad);
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.out, "");
  EXPECT_TRUE(contains(result.err, bad)) << result.err;
}

TEST_F(Cli, VersionNamesTheFeatures) {
  for (const char* arguments : {"--version", "version", "score --version"}) {
    const ProgramRun result = run(arguments);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_TRUE(contains(result.out, "switchyard 0.")) << result.out;
    EXPECT_TRUE(contains(result.out, "MPI: ")) << result.out;
  }
}

TEST_F(Cli, UsageErrorsEndWithStatus2AndOneMessage) {
  const std::pair<std::string, const char*> cases[] = {
      {"scroe", "'score'?"},
      {"score", "score needs --model DIR"},
      {score("--thread 2"), "'--threads'?"},
      {score("--threads two"), "--threads is 'two'; expected a whole number"},
      {score("--newlines both"), "expected one of eos, keep"},
      {score("stray"), "unexpected argument 'stray'"},
      {score("--batch-size 2"), "--batch-size has no effect without --capacity reference"},
      {"help me", "help takes no argument"},
  };
  for (const auto& [arguments, message] : cases) {
    const ProgramRun result = run(arguments);
    EXPECT_EQ(result.status, 2) << arguments;
    EXPECT_TRUE(contains(result.err, message)) << arguments << ": " << result.err;
    EXPECT_TRUE(result.err.starts_with("switchyard: error: ")) << result.err;
    EXPECT_EQ(result.out, "");
  }
}

TEST_F(Cli, ConfigurationFilesAreReadAndChecked) {
  EXPECT_EQ(run(score("--config " + path("absent.yaml"))).status, 3);
  write("run.yaml", "thread: 2\n");
  const ProgramRun unknown = run(score("--config " + path("run.yaml")));
  EXPECT_EQ(unknown.status, 2);
  EXPECT_TRUE(contains(unknown.err, "run.yaml, line 1: unknown key 'thread'")) << unknown.err;
  // A model from the file is used; one from the command line wins over it.
  write("run.yaml", "model: " + path("from_file") + "\nthreads: 1\n");
  const ProgramRun missing = run("score --config " + path("run.yaml") + " --input " +
                                 path("in.jsonl") + " --output " + path("out.jsonl"));
  EXPECT_EQ(missing.status, 3);
  EXPECT_TRUE(contains(missing.err, "from_file")) << missing.err;
  const ProgramRun overridden = run(score("--config " + path("run.yaml")));
  EXPECT_TRUE(contains(overridden.err, path("model"))) << overridden.err;
  EXPECT_FALSE(contains(overridden.err, "from_file")) << overridden.err;
}

TEST_F(Cli, AMissingModelIsAnInputErrorWithoutOutput) {
  write("in.jsonl", "{\"id\": 1, \"token_ids\": [4]}\n");
  const ProgramRun result = run(score());
  EXPECT_EQ(result.status, 3);
  EXPECT_TRUE(contains(result.err, path("model"))) << result.err;
  EXPECT_FALSE(fs::exists(path("out.jsonl")));
}

#ifdef SWITCHYARD_MPIRUN
/// The beginning of a launch of `ranks` processes. MPI keeps memory until the process ends.
std::string launch(int ranks) {
  return concat("ASAN_OPTIONS=detect_leaks=0 ", SWITCHYARD_MPIRUN,
                " --allow-run-as-root --oversubscribe --bind-to none -np ", ranks);
}

TEST_F(Cli, ManyRanksGiveOneMessage) {
  const std::string two =
      std::string(SWITCHYARD_MPIRUN) + " --allow-run-as-root --oversubscribe --bind-to none -np 2";
  const ProgramRun result = run(score("--threads two"), launch(2));
  EXPECT_EQ(result.status, 2) << result.err;
  const size_t first = result.err.find("--threads is 'two'");
  ASSERT_NE(first, std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("--threads is 'two'", first + 1), std::string::npos) << result.err;
}

TEST_F(Cli, RanksWithDifferentOptionsAreRefused) {
  const std::string one =
      std::string(SWITCHYARD_MPIRUN) + " --allow-run-as-root --oversubscribe --bind-to none -np 1";
  const ProgramRun result = run(score("--top-logprobs 1") + " : -np 1 " + SWITCHYARD_PROGRAM + " " +
                                    score("--top-logprobs 2"),
                                launch(1));
  EXPECT_EQ(result.status, 2) << result.err;
  EXPECT_TRUE(
      contains(result.err, "rank 1: was started with 'top-logprobs 2', not 'top-logprobs 1'"))
      << result.err;
}
#endif

}  // namespace
}  // namespace switchyard
