// What every command that runs a model does around its own input and output.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/control_channel.h"
#include "runtime/capacity_batch.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/engine.h"
#include "runtime/model_runtime.h"
#include "runtime/numerics.h"
#include "runtime/requests/journal.h"
#include "runtime/run_options.h"
#include "runtime/run_report/run_reports.h"
#include "runtime/scorer.h"

namespace switchyard {

/// The names of a run's own input and output; "-" or empty for what is no file.
struct JobFiles {
  std::string input;
  std::string output;
};

/// One rank of a run: construct, load(), run(), finish(), each once, in this order and on every
/// rank. Each throws AgreedError on every rank for what the user can mend.
class ModelJob {
 public:
  /// Opens the checkpoint, agrees on the numerics id and tells what runs where. Collective. All
  /// references must outlive the job; `world` is a communicator of `backend`.
  ModelJob(const RunOptions& options, Backend& backend, Communicator& world);

  bool is_root() const { return control_.rank() == 0; }
  const ModelConfig& config() const { return checkpoint_.config; }
  /// The batches that share the experts' capacity, without padding to a number of rows; none
  /// without --capacity reference.
  std::optional<CapacityShape> capacity() const;
  /// The files that a run on this input reads, none of which may be written.
  std::vector<std::string> files_read(const std::string& input) const;
  /// What stands beside results.
  RunMeta meta() const;

  /// Rank 0 opens and checks its input by `check_input`, and the files that the run writes beside
  /// its results; then every rank plans, allocates and loads
  /// for what that found, which is returned on every rank. Rank 0 shows its loading by `progress`.
  /// Collective.
  RequestSummary load(const JobFiles& files, int64_t top_logprobs, ProgressSink& progress,
                      const std::function<RequestSummary()>& check_input);

  const ScheduleLimits& schedule_limits() const { return model_->schedule_limits(); }

  /// Runs steps until the work, used on rank 0 and null elsewhere, is done. Collective.
  void run(StepWork* work) { engine_->run(work); }

  /// Rank 0 makes its results final by `publish` once every rank has come here: where a rank died,
  /// a launcher may have closed rank 0's standard input, which looks like the end of the requests.
  /// Then logs what each rank held and did, and writes what --stats and --trace ask for.
  /// Collective.
  void finish(const std::function<void()>& publish);

 private:
  RuntimeSettings settings(const RequestSummary& summary, int64_t top_logprobs,
                           PlacementText placement) const;
  /// What this rank held and did.
  RankStats stats() const;
  RunFacts facts() const;
  void log_start() const;
  void log_capacity() const;

  const RunOptions& options_;
  Backend& backend_;
  Communicator& world_;
  ControlChannel control_;
  Checkpoint checkpoint_;
  NumericsId numerics_;
  RunReports reports_;  // before what adds events to it
  std::unique_ptr<CheckpointFiles> files_;
  std::unique_ptr<ModelRuntime> model_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace switchyard
