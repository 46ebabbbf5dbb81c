// Requests in, steps out, results in the order of the requests: rank 0's side of scoring.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/capacity_batch.h"
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
  int64_t num_requests = -1;      // -1: not known (standard input)
  int64_t total_rows = -1;        // of all units, padding included; -1: not known
  int64_t largest_unit_rows = 0;  // of one request, or of one capacity batch
  int64_t largest_unit_pages = 0;
  std::vector<int64_t> cache_pages = {};           // WorkspaceLimits::cache_pages
  std::vector<int64_t> sequence_cache_pages = {};  // of these, what the longest sequence needs
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

/// How requests become units: alone, or `capacity` batches of consecutive ones.
struct UnitForm {
  int32_t start_token = 2;  // ModelConfig::kNoToken: the first id of a request has no log-prob
  std::optional<CapacityShape> capacity;
};

/// A request on its way through a step.
struct ScoreTask {
  Request request;
  ScoreSequence sequence;
  int64_t num_rows = 0;  // that it takes in its unit, padding included
  std::optional<SequenceOutput> output = std::nullopt;
};

/// The requests of one unit. The unit has no sequences where there is nothing to run: an empty
/// request alone.
struct ScoreGroup {
  std::vector<ScoreTask> tasks;
  StepUnit unit;
};

/// Groups requests into units, whose sequences are numbered from 0 in the order of the requests.
class ScoreGroups {
 public:
  /// `requests` must outlive the object.
  ScoreGroups(RequestStream& requests, const UnitForm& form) : requests_(requests), form_(form) {}

  /// Empty at the end.
  std::optional<ScoreGroup> next();

 private:
  RequestStream& requests_;
  UnitForm form_;
  int64_t next_number_ = 0;
};

/// Checks every request of a file without keeping any. Throws Error(kInput) naming the line.
RequestSummary check_requests(const std::string& path, const Tokenizer* tokenizer,
                              const ScoreInputOptions& options, const UnitForm& form);

/// The most that requests to a model of `max_positions` can need.
RequestSummary unknown_requests(int64_t max_positions, const UnitForm& form);

/// How the scorer fills steps and what it adds to results.
struct ScorerSettings {
  ScheduleLimits limits;
  UnitForm form;
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
  std::optional<ScoreGroup> take();
  void write(const ScoreTask& task);
  void write_all();

  ScoreGroups groups_;
  ResultWriter& writer_;
  ProgressSink& progress_;
  ScorerSettings settings_;
  std::optional<ScoreGroup> held_;  // read, but not part of the step before
  std::vector<ScoreTask> pending_;  // of the running step, in order of the requests
  int64_t first_sequence_ = 0;      // number of pending_[0]
  Progress done_;
};

}  // namespace switchyard
