#include "runtime/generation_plan.h"

#include <algorithm>
#include <functional>
#include <queue>

namespace switchyard {
namespace {

/// The longest of many, in rows.
class LongestSequences {
 public:
  explicit LongestSequences(int64_t count) : count_(static_cast<size_t>(count)) {}

  void add(int64_t rows) {
    rows_.push(rows);
    if (rows_.size() > count_) rows_.pop();
  }

  /// Shortest first.
  std::vector<int64_t> take(int64_t count) {
    while (static_cast<int64_t>(rows_.size()) > count) rows_.pop();
    std::vector<int64_t> rows;
    for (; !rows_.empty(); rows_.pop()) rows.push_back(rows_.top());
    return rows;
  }

 private:
  size_t count_;
  std::priority_queue<int64_t, std::vector<int64_t>, std::greater<>> rows_;  // top: the shortest
};

}  // namespace

RequestSummary check_prompts(PromptStream& prompts, const GenerationContext& context,
                             const GenerationShape& shape) {
  RequestSummary summary{0, 0, 1, 0, {}, {}};
  LongestSequences longest(shape.batch_size());
  int64_t num_sequences = 0;
  const KvBlockShape blocks = shape.blocks();
  while (const std::optional<PreparedPrompt> prompt = prompts.next()) {
    const auto length = static_cast<int64_t>(prompt->input_ids.size());
    const int64_t rows = context.planned_rows(length);
    ++summary.num_requests;
    summary.total_rows += rows * context.rules.num_results;
    summary.largest_unit_rows =
        std::max(summary.largest_unit_rows, std::min(std::max(length, rows), blocks.chunk));
    for (int64_t i = 0; i < context.rules.num_results; ++i) longest.add(rows);
    num_sequences += context.rules.num_results;
  }
  // A rank takes a sequence only while no other runs fewer, so that it never has more than its
  // share of them, rounded up.
  const int64_t share = (num_sequences + shape.num_ranks - 1) / shape.num_ranks;
  summary.cache_pages.resize(shape.windows.size());
  summary.sequence_cache_pages.resize(shape.windows.size());
  for (const int64_t rows : longest.take(share)) {
    for (size_t i = 0; i < shape.windows.size(); ++i) {
      summary.sequence_cache_pages[i] = blocks.pages_needed(i, rows);
      summary.cache_pages[i] += summary.sequence_cache_pages[i];
    }
  }
  return summary;
}

RequestSummary unknown_prompts(const GenerationContext& context, const GenerationShape& shape) {
  constexpr int64_t kUsualRows = 2048;
  const KvBlockShape blocks = shape.blocks();
  RequestSummary summary{-1, -1, blocks.chunk, 0, {}, {}};
  for (size_t i = 0; i < shape.windows.size(); ++i) {
    const int64_t usual = blocks.pages_needed(i, std::min(kUsualRows, context.max_length));
    summary.cache_pages.push_back(
        std::max(shape.batch_size() * usual, blocks.pages_needed(i, context.max_length)));
    summary.sequence_cache_pages.push_back(usual);
  }
  return summary;
}

}  // namespace switchyard
