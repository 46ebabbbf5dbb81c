#include "runtime/runtime_settings.h"

#include <algorithm>
#include <limits>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// Key/value pages for `rows` rows of a step. A sequence's last page is partly empty; four times
/// the full pages let sequences of 16 rows fill a step.
int64_t page_budget(int64_t rows) { return 4 * pages_of(rows); }

}  // namespace

WorkspaceLimits workspace_limits(const ModelConfig& config, const RuntimeSettings& settings,
                                 int num_ranks) {
  WorkspaceLimits limits;
  const int64_t batch = settings.total_rows < 0
                            ? settings.max_batch_tokens
                            : std::min(settings.max_batch_tokens, settings.total_rows);
  limits.max_rows = std::max({batch, settings.largest_unit_rows, int64_t{1}});
  limits.max_pages =
      std::max({page_budget(batch), settings.largest_unit_pages, pages_of(limits.max_rows)});
  limits.top_logprobs = settings.top_logprobs;
  limits.cache_pages = settings.cache_pages;
  limits.has_graphs = settings.has_graphs && !limits.cache_pages.empty();
  if (settings.capacity_fraction) limits.capacity = ExpertCapacity::kLimited;
  constexpr int64_t kMaxCopies = std::numeric_limits<int32_t>::max();
  if (limits.max_rows * std::max(config.router.top_k, int64_t{1}) > kMaxCopies) {
    const bool is_unit = settings.largest_unit_rows > batch;
    fail_usage(is_unit ? "the largest sequence or batch (--batch-size): " : "--max-batch-tokens: ",
               limits.max_rows, " rows of ", config.router.top_k, " experts are more than ",
               kMaxCopies, "; give fewer");
  }
  limits.exchange = settings.exchange.kind;
  limits.layout = settings.exchange.layout;
  if (config.num_moe_layers() == 0) return limits;
  const int64_t row_bytes = exchange_bytes_per_row(settings.exchange.kind, config.hidden_size);
  if (settings.exchange_buffer_bytes < row_bytes) {
    fail_usage("--exchange-buffer: ", settings.exchange_buffer_bytes,
               " bytes do not hold one row of width ", config.hidden_size, "; give at least ",
               row_bytes, " bytes");
  }
  // All choices of all ranks at one rank, in the slots that they are padded to.
  const int64_t most =
      PaddedExchange::rows_needed(num_ranks, config.router.num_experts, config.hidden_size,
                                  limits.max_rows * config.router.top_k);
  limits.exchange_rows = std::min({settings.exchange_buffer_bytes / row_bytes, most, kMaxCopies});
  return limits;
}

bool records_steps(DecodeGraphs choice, const Backend& backend) {
  return choice == DecodeGraphs::kAuto ? backend.gains_from_graphs() : choice == DecodeGraphs::kOn;
}

}  // namespace switchyard
