// `perplexity`: how well a model predicts a text, as the reference's eval_lm measures it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "runtime/engine.h"
#include "runtime/perplexity_blocks.h"
#include "runtime/perplexity_options.h"
#include "runtime/progress.h"

namespace switchyard {

/// The log-probability of a text.
struct TextScore {
  int64_t num_tokens = 0;  // scored
  double logprob = 0.0;    // natural; of each block in token order, then of the blocks in order
  int64_t num_bytes = 0;   // of the text in UTF-8

  /// Mean cross-entropy of a token in bits.
  double loss_base2() const;
  /// exp of the mean cross-entropy; infinity where that is beyond a double.
  double perplexity() const;
  double bits_per_byte() const;
};

/// One JSON object with the keys num_tokens, logprob, loss_base2, perplexity, num_bytes and
/// bits_per_byte, or a table of the same. `score` has tokens. No line end after the last line.
std::string format_score(const TextScore& score, ResultForm form);

/// Feeds an engine with the blocks of a text and adds up what comes out.
class PerplexityWork : public StepWork {
 public:
  /// The references must outlive the work.
  PerplexityWork(PassageReader& passages, const BlockRules& rules, const ScheduleLimits& limits,
                 const RequestSummary& summary, ProgressSink& progress);

  StepHeader next() override;
  void consume(std::vector<SequenceOutput> outputs) override;
  std::string describe(const NonFiniteError& error) const override;

  /// Of the blocks so far.
  TextScore score() const;
  const Progress& progress() const { return done_; }

 private:
  PassageReader& passages_;
  BlockUnits units_;
  ScheduleLimits limits_;
  ProgressSink& progress_;
  std::optional<BlockUnit> held_;  // read, but not part of the step before

  // Of the running step, in order of the blocks: their lines, and their outputs once they come.
  std::vector<int64_t> lines_;
  int64_t first_block_ = 0;  // number of lines_[0]
  int64_t step_rows_ = 0;

  int64_t num_tokens_ = 0;
  double logprob_ = 0.0;
  Progress done_;
};

/// Measures options.input with options.model and writes the result to options.output, with
/// OUT.meta.json if that is a file. Collective over `world`, whose backend is `backend`. `progress`
/// is used on rank 0 only. Throws AgreedError on every rank for what the user can mend; any other
/// exception is this rank's alone and must end the job.
void run_perplexity(const PerplexityOptions& options, Backend& backend, Communicator& world,
                    ProgressSink& progress);

}  // namespace switchyard
