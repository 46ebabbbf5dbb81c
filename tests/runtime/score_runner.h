// Runs the whole of `score` with ranks as threads.
#pragma once

#include <string>

#include "runtime/score.h"

namespace switchyard {

/// How a run is set up; what is not said here is ScoreOptions' default.
struct ScoreSetup {
  std::string model;  // folder below the test data
  std::string input = "requests.jsonl";
  int num_ranks = 1;
  int num_threads = 1;
  int64_t max_batch_tokens = 4096;
  int64_t exchange_buffer_bytes = int64_t{64} << 20;
  BackendKind backend = BackendKind::kCpu;
  InstructionSet instruction_set = InstructionSet::kAuto;
  Newlines newlines = Newlines::kKeep;
  Truncate truncate = Truncate::kError;
  int top_logprobs = 0;
  std::string placement;
  uint64_t seed = 1;

  std::string text() const;
};

/// A path below the folder with the test data; an absolute one as it is.
std::string test_data(const std::string& path);

/// Scores and returns the bytes of the output file, which is then removed. Rethrows what run_score
/// throws.
std::string score(const ScoreSetup& setup);

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
