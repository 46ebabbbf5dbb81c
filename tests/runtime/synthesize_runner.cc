#include "tests/runtime/synthesize_runner.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "parallel/thread_communicator.h"

namespace switchyard {
namespace {

/// What was shown of a run.
class ProgressRecord : public ProgressSink {
 public:
  void start() override { ++num_starts; }
  void update(const Progress& progress) override {
    EXPECT_GE(progress.bytes_done, last);
    EXPECT_LE(progress.bytes_done, progress.total_bytes);
    last = progress.bytes_done;
  }
  void finish(const Progress& progress) override {
    ++num_ends;
    EXPECT_GE(progress.bytes_done, last);
    total = progress.total_bytes;
  }
  int num_starts = 0;
  int num_ends = 0;
  int64_t last = 0;
  int64_t total = 0;
};

}  // namespace

int64_t synthesize(const SynthesizeOptions& options, int num_ranks) {
  set_log_level(LogLevel::kError);
  ProgressRecord root;
  run_ranks(num_ranks, {}, {.kind = BackendKind::kCpu}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    ProgressRecord other;
    run_synthesize(options, control, control.rank() == 0 ? root : other);
    EXPECT_EQ(other.num_starts, 0);
  });
  EXPECT_EQ(root.num_starts, 1);
  EXPECT_EQ(root.num_ends, 1);
  return root.total;
}

SynthesizeOptions options_for(const std::string& preset, const std::string& output) {
  SynthesizeOptions options;
  options.preset = preset;
  options.output = output;
  options.num_threads = 1;
  return options;
}

std::map<std::string, std::string> contents(const TempFolder& folder, const std::string& name) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path(name))) {
    const std::string file = entry.path().filename().string();
    files[file] = folder.read(name + "/" + file);
  }
  return files;
}

Checkpoint open(const std::string& directory) {
  Checkpoint checkpoint;
  run_ranks(1, {}, {.kind = BackendKind::kCpu}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    checkpoint = open_checkpoint(directory, control);
  });
  return checkpoint;
}

}  // namespace switchyard
