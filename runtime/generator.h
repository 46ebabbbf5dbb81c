// Prompts in, steps out, results in the order of the prompts: rank 0's side of generating.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/engine.h"
#include "runtime/generation.h"
#include "runtime/generation_plan.h"
#include "runtime/progress.h"
#include "runtime/requests/prompt.h"
#include "runtime/scheduler.h"

namespace switchyard {

/// How the generator fills steps.
struct GeneratorSettings {
  GenerationContext context;
  GenerationShape shape;
  ScheduleLimits limits;
  RequestSummary summary;
};

/// Where the generator's results go.
struct GeneratorOutput {
  std::function<void(const std::string&)> line;     // a result; in order
  std::function<void()> flush;                      // after the results of a step
  std::function<void(std::string_view)> text = {};  // of a stream, as it comes
};

/// Feeds an engine with sequences to continue and gives out what they become. Every running
/// sequence is a unit of every step as far as there is room: first the single rows that give a
/// token, then chunks of more. A sequence stays on the rank it was given to, and begins only when
/// the pages of its whole length are free there, so that nothing ever has to be given up.
class Generator : public StepWork {
 public:
  /// The references must outlive the generator.
  Generator(PromptStream& prompts, GeneratorOutput output, ProgressSink& progress,
            const GeneratorSettings& settings);

  StepHeader next() override;
  void consume(std::vector<SequenceOutput> outputs) override;
  std::string describe(const NonFiniteError& error) const override;

  const Progress& progress() const { return done_; }

 private:
  struct Running {
    std::unique_ptr<Generation> generation;
    int rank = 0;
    int64_t step_rows = 0;  // in the running step
  };
  struct Rank {
    KvBlocks blocks;
    int64_t num_running = 0;
  };

  enum class RowKind : uint8_t { kLast, kChunk };

  bool read_prompt();
  void admit();
  int find_rank() const;
  void add_units(RowKind kind, std::vector<int64_t>& rows_left, StepHeader& header);
  StepUnit make_unit(int64_t sequence, Running& running);
  void advance(Running& running, const SequenceOutput& output);
  void finish(int64_t sequence, Generation& generation);
  void give_out();

  PromptStream& prompts_;
  GeneratorOutput output_;
  ProgressSink& progress_;
  GeneratorSettings settings_;
  std::vector<Rank> ranks_;

  // All by the number of the sequence, which counts on in the order of the prompts.
  std::map<int64_t, std::unique_ptr<Generation>> waiting_;  // of the prompt that was read last
  std::map<int64_t, Running> running_;
  std::map<int64_t, std::string> results_;  // of which an earlier one is missing
  int64_t next_sequence_ = 0;               // that is read
  int64_t next_result_ = 0;                 // that is given out
  bool has_ended_ = false;                  // the input
  Progress done_;
};

}  // namespace switchyard
