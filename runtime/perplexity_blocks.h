// A text cut into blocks, as the reference's eval_lm does (fairseq, token_block_dataset.py,
// monolingual_dataset.py and lm_context_window_dataset.py).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "runtime/capacity_batch.h"
#include "runtime/perplexity_options.h"
#include "runtime/perplexity_passages.h"
#include "runtime/scorer.h"
#include "runtime/step.h"

namespace switchyard {

/// How a text becomes blocks and these become units of steps.
struct BlockRules {
  BreakMode break_mode = BreakMode::kNone;
  int64_t block_size = 0;      // tokens of a block
  int64_t context_window = 0;  // earlier inputs before a block's own
  int64_t max_positions = 0;   // rows of input that a block may have
  /// What the first token of a text or document is predicted from; none: it is not scored. A later
  /// block's first token is predicted from the token before it.
  std::optional<int32_t> first_input = 2;
  /// Stands before every block's input where the model was trained so; its own prediction is not
  /// scored.
  std::optional<int32_t> begin_token = std::nullopt;
  /// Batches that share the experts' capacity. Blocks are then padded to block_size and
  /// context_window more rows.
  std::optional<CapacityShape> capacity = std::nullopt;

  /// Rows that the largest block may have, padding included, whatever the input holds.
  int64_t max_rows() const;
};

/// The rules that the options give for a model. `capacity` is none where the model has no experts
/// or the run no capacity. Throws Error(kUsage) for sizes that the model cannot have.
BlockRules make_block_rules(const PerplexityOptions& options, const ModelConfig& config,
                            TextKind kind, const std::optional<CapacityShape>& capacity);

/// Tokens to predict together. Row i of the input sees all rows up to itself.
struct TextBlock {
  int64_t line = 0;  // of the input, in which the first target stands
  std::vector<int32_t> input_ids;
  int64_t num_context = 0;  // rows before the one that predicts the first target
  std::vector<int32_t> target_ids;
};

/// Cuts passages into blocks, holding little more than one block and one passage.
class BlockStream {
 public:
  /// `passages` must outlive the stream.
  BlockStream(PassageReader& passages, const BlockRules& rules);

  /// Empty at the end. Throws Error(kInput) naming the line of a block with too many rows.
  std::optional<TextBlock> next();

 private:
  struct Targets {
    int64_t line = 0;
    std::vector<int32_t> ids;
  };

  std::optional<Targets> take_targets();
  std::optional<Targets> take_lines();
  void read_ahead();
  bool has_ids() const { return ids_at_ < ids_.size(); }
  TextBlock make_block(Targets targets);

  PassageReader& passages_;
  BlockRules rules_;
  std::optional<Passage> held_;  // read, but not part of the block before

  // Break mode none: tokens that are read and, from ids_at_ on, in no block yet.
  std::vector<int32_t> ids_;
  size_t ids_at_ = 0;
  std::vector<std::pair<size_t, int64_t>> line_ends_;  // {index after its last token, line}

  int32_t previous_;              // input of the next block's first target
  std::vector<int32_t> context_;  // last inputs of the block before
};

/// Blocks that run together, numbered from 0 in the order of the text.
struct BlockUnit {
  StepUnit unit;
  std::vector<int64_t> lines;  // TextBlock::line of each
};

/// Puts blocks into units: alone, or as many as share the experts' capacity.
class BlockUnits {
 public:
  BlockUnits(PassageReader& passages, const BlockRules& rules)
      : blocks_(passages, rules), rules_(rules) {}

  /// Empty at the end. Throws as BlockStream.
  std::optional<BlockUnit> next();

 private:
  StepSequence make_sequence(TextBlock block);

  BlockStream blocks_;
  BlockRules rules_;
  int64_t next_number_ = 0;
};

/// Counts all blocks of an input (as requests) and their rows. Throws as BlockStream.
RequestSummary count_blocks(PassageReader& passages, const BlockRules& rules);

/// The most that an input can need.
RequestSummary unknown_blocks(const BlockRules& rules);

}  // namespace switchyard
