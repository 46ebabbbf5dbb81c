#include "tests/runtime/score_runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "parallel/thread_communicator.h"

namespace switchyard {
namespace {

class NoProgress : public ProgressSink {
 public:
  void start() override {}
  void update(const Progress&) override {}
  void finish(const Progress&) override {}
};

}  // namespace

std::string ScoreSetup::text() const {
  return concat(model, "/", input, " on ", num_ranks, " ranks of ", num_threads,
                " threads, batches of ", max_batch_tokens, ", exchange buffers of ",
                exchange_buffer_bytes, " bytes, backend ", static_cast<int>(backend),
                ", instruction set ", static_cast<int>(instruction_set), ", seed ", seed);
}

std::string test_data(const std::string& path) {
  if (!path.empty() && path.front() == '/') return path;
  return std::string(SWITCHYARD_TEST_DATA) + "/" + path;
}

TemporaryFile::TemporaryFile(const std::string& name, const std::string& contents) {
  static int number = 0;
  path_ = concat(testing::TempDir(), "switchyard-", getpid(), "-", number++, "-", name);
  if (!contents.empty()) std::ofstream(path_, std::ios::binary) << contents;
}

TemporaryFile::~TemporaryFile() {
  for (const char* suffix : {"", ".partial", ".meta.json"}) {
    std::error_code ignored;
    std::filesystem::remove(path_ + suffix, ignored);
  }
}

std::string TemporaryFile::contents() const {
  std::ifstream file(path_, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string score(const ScoreSetup& setup) {
  const TemporaryFile out("out.jsonl");
  ScoreOptions options;
  options.model = test_data(setup.model);
  const bool is_absolute = setup.input.front() == '/';
  options.input = is_absolute ? setup.input : options.model + "/" + setup.input;
  options.output = out.path();
  options.max_batch_tokens = setup.max_batch_tokens;
  options.exchange_buffer_bytes = setup.exchange_buffer_bytes;
  options.newlines = setup.newlines;
  options.truncate = setup.truncate;
  options.top_logprobs = setup.top_logprobs;
  options.placement = setup.placement;
  set_log_level(LogLevel::kError);
  BackendOptions backend;
  backend.kind = setup.backend;
  backend.instruction_set = setup.instruction_set;
  backend.num_threads = setup.num_threads;
  backend.strict_seed = setup.seed;
  ThreadWorldOptions world;
  world.seed = setup.seed;
  run_ranks(setup.num_ranks, world, backend, [&](Backend& device, Communicator& communicator) {
    NoProgress progress;
    run_score(options, device, communicator, progress);
  });
  return out.contents();
}

}  // namespace switchyard
