#include "tests/runtime/convert_runner.h"

#include <gtest/gtest.h>

#include "parallel/thread_communicator.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

/// Checks what is shown of a run.
class ProgressRecord : public ProgressSink {
 public:
  void start() override { ++num_starts; }
  void update(const Progress& progress) override {
    EXPECT_GE(progress.bytes_done, last_);
    EXPECT_LE(progress.bytes_done, progress.total_bytes);
    last_ = progress.bytes_done;
  }
  void finish(const Progress& progress) override {
    EXPECT_EQ(progress.bytes_done, progress.total_bytes);
    EXPECT_GE(progress.bytes_done, last_);
    ++num_ends;
  }
  int num_starts = 0;
  int num_ends = 0;

 private:
  int64_t last_ = 0;
};

}  // namespace

void convert(const ConvertOptions& options, int num_ranks) {
  set_log_level(LogLevel::kError);
  ProgressRecord root;
  run_ranks(num_ranks, {}, {.kind = BackendKind::kCpu}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    ProgressRecord other;
    run_convert(options, control, control.rank() == 0 ? root : other);
    EXPECT_EQ(other.num_starts, 0);
  });
  EXPECT_EQ(root.num_starts, 1);
  EXPECT_EQ(root.num_ends, 1);
}

ConvertOptions convert_options(const std::string& model, const std::string& output) {
  ConvertOptions options;
  options.model = test_data(model);
  options.output = output;
  options.num_threads = 1;
  return options;
}

}  // namespace switchyard
