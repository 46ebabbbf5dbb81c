// What generating for all prompts of an input needs, found before the model is loaded.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/generation.h"
#include "runtime/kv_blocks.h"
#include "runtime/requests/prompt.h"
#include "runtime/scorer.h"

namespace switchyard {

/// Where and how sequences run.
struct GenerationShape {
  BatchOptions batch;
  std::vector<int64_t> windows;  // of the model's cache groups
  int num_ranks = 1;
  int64_t max_batch_tokens = 0;

  /// Sequences of a rank at a time, each of which must be able to run a row in every step.
  int64_t batch_size() const { return std::min(batch.batch_size, max_batch_tokens); }
  KvBlockShape blocks() const {
    return {windows, batch.page_size, std::min(batch.prefill_chunk, max_batch_tokens)};
  }
};

/// Checks every prompt without keeping any; RequestSummary::cache_pages hold the longest sequences
/// that a rank may run at a time. Throws Error(kInput) naming the line.
RequestSummary check_prompts(PromptStream& prompts, const GenerationContext& context,
                             const GenerationShape& shape);

/// For prompts that are not known yet: pages for one sequence of context.max_length, and for a
/// batch of 2,048 positions each. Longer ones wait for each other.
RequestSummary unknown_prompts(const GenerationContext& context, const GenerationShape& shape);

}  // namespace switchyard
