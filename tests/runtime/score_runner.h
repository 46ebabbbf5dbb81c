// Runs whole commands with ranks as threads.
#pragma once

#include <boost/json.hpp>
#include <functional>
#include <string>

#include "runtime/score.h"

namespace switchyard {

/// Shows nothing.
class NoProgress : public ProgressSink {
 public:
  void start() override {}
  void update(const Progress&) override {}
  void finish(const Progress&) override {}
};

/// How a run is set up; what is not said here is ScoreOptions' default.
struct ScoreSetup {
  std::string model;  // folder below the test data
  std::string input = "requests.jsonl";
  int num_ranks = 1;
  int num_threads = 1;
  int64_t max_batch_tokens = 4096;
  int64_t exchange_buffer_bytes = int64_t{64} << 20;
  ExchangeRequest exchange;
  BackendKind backend = BackendKind::kCpu;
  InstructionSet instruction_set = InstructionSet::kAuto;
  Newlines newlines = Newlines::kKeep;
  Truncate truncate = Truncate::kError;
  int top_logprobs = 0;
  std::string placement;
  CapacityOptions capacity;
  AttentionForm attention_form = AttentionForm::kExpanded;
  TierOptions tiers;
  WeightQuantization quantization;
  uint64_t seed = 1;

  std::string text() const;
};

/// A path below the folder with the test data; an absolute one as it is.
std::string test_data(const std::string& path);

/// The options of a run; those of the command are left to the caller.
RunOptions run_options(const ScoreSetup& setup);

/// setup.input below the model's folder; an absolute path as it is.
std::string input_path(const ScoreSetup& setup);

/// Runs a command's work on ranks as threads, without logs. Rethrows what it throws.
void run_as_threads(const ScoreSetup& setup,
                    const std::function<void(Backend&, Communicator&, ProgressSink&)>& work);

/// Scores and returns the bytes of the output file, which is then removed. Rethrows what run_score
/// throws.
std::string score(const ScoreSetup& setup);

/// Empty if `got` is `expected` within `tolerance` on each log-prob, null where that is null, else
/// what differs first.
std::string difference(const boost::json::object& got, const boost::json::object& expected,
                       double tolerance);

/// Empty if the lines of `output` are those of the file, compared as by difference(), else what
/// differs first.
std::string compare_files(const std::string& output, const std::string& expected_path,
                          double tolerance);

/// A file of its own for this test process, removed with the object.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& name, const std::string& contents = "");
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }
  std::string contents() const;

 private:
  std::string path_;
};

}  // namespace switchyard
