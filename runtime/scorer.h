// Requests in, steps out, results in the order of the requests: rank 0's side of scoring.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine.h"
#include "runtime/progress.h"
#include "runtime/requests/duplicate_ids.h"
#include "runtime/requests/journal.h"
#include "runtime/requests/line_reader.h"
#include "runtime/requests/request.h"
#include "runtime/requests/score_input.h"
#include "runtime/scheduler.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// What a pass over all requests found.
struct RequestSummary {
  int64_t num_requests = -1;     // -1: not known (standard input)
  int64_t total_rows = -1;       // input rows of all sequences; -1: not known
  int64_t longest_sequence = 0;  // rows
};

/// Reads requests in order, ready to run. Duplicates are found as they come.
class RequestStream {
 public:
  /// `tokenizer` may be null and must outlive the stream, as must `options`.
  RequestStream(const std::string& path, const Tokenizer* tokenizer,
                const ScoreInputOptions& options);

  struct Item {
    Request request;
    ScoreSequence sequence;
  };
  /// Empty at the end. Throws Error(kInput) naming the line.
  std::optional<Item> next();

 private:
  LineReader reader_;
  DuplicateIds ids_;
  const Tokenizer* tokenizer_;
  const ScoreInputOptions& options_;
};

/// Checks every request of a file without keeping any. Throws Error(kInput) naming the line.
RequestSummary check_requests(const std::string& path, const Tokenizer* tokenizer,
                              const ScoreInputOptions& options);

/// How the scorer fills steps and what it adds to results.
struct ScorerSettings {
  ScheduleLimits limits;
  int32_t start_token = 2;
  int64_t top_logprobs = 0;
  RequestSummary summary;
};

/// Feeds an engine with sequences to score and writes what comes out.
class Scorer : public StepWork {
 public:
  /// The references must outlive the scorer.
  Scorer(RequestStream& requests, ResultWriter& writer, ProgressSink& progress,
         const ScorerSettings& settings);

  StepHeader next() override;
  void consume(std::vector<SequenceOutput> outputs) override;
  std::string describe(const NonFiniteError& error) const override;

  const Progress& progress() const { return done_; }

 private:
  /// A request of the running step.
  struct Pending {
    Request request;
    ScoreSequence sequence;
    std::optional<SequenceOutput> output;
  };

  std::optional<Pending> take();
  void write(const Pending& pending);
  void write_all();

  RequestStream& requests_;
  ResultWriter& writer_;
  ProgressSink& progress_;
  ScorerSettings settings_;
  std::optional<Pending> held_;   // read, but not part of the step before
  std::vector<Pending> pending_;  // in order of the requests
  int64_t first_sequence_ = 0;    // number of pending_[0]
  Progress done_;
};

}  // namespace switchyard
