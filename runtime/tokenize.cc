#include "runtime/tokenize.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/thread_pool.h"
#include "parallel/topology.h"
#include "runtime/requests/journal.h"
#include "runtime/requests/line_reader.h"
#include "runtime/requests/request.h"
#include "runtime/requests/run_files.h"

namespace switchyard {
namespace {

/// Texts that are encoded side by side: enough to keep every thread busy, few enough to stay small.
constexpr size_t kTextsAtATime = 256;

/// The next texts of the input, none at its end.
std::vector<TextRecord> read_texts(LineReader& lines) {
  std::vector<TextRecord> texts;
  while (texts.size() < kTextsAtATime) {
    const std::optional<std::string_view> line = lines.next();
    if (!line) break;
    texts.push_back(parse_text_record(*line, lines.line_number(), lines.name(), TextId::kRead));
  }
  return texts;
}

/// Fills the ids, and the text of those that stand for the text itself.
void tokenize_text(const Tokenizer& tokenizer, const std::string& text,
                   const TokenizerOptions& options, TokenizedText& result) {
  result.ids = tokenizer.encode(text, SpecialTokens::kNone);
  result.decoded = tokenizer.decode(result.ids, SpecialText::kKeep);
  if (options.special_tokens == SpecialTokens::kAdd) {
    result.ids = tokenizer.encode(text, SpecialTokens::kAdd);
  }
}

void tokenize_all(const TokenizeOptions& options, int num_threads) {
  const std::unique_ptr<Tokenizer> tokenizer =
      open_tokenizer_folder(options.tokenizer, options.model);
  LineReader lines(options.input);
  std::vector<std::string> read = tokenizer_files(options.tokenizer, options.model);
  read.push_back(options.input);
  require_other_files(read, options.output);
  ResultWriter writer(options.output);
  ThreadPool pool(num_threads);
  int64_t num_texts = 0;
  int64_t num_ids = 0;
  for (std::vector<TextRecord> texts = read_texts(lines); !texts.empty();
       texts = read_texts(lines)) {
    std::vector<TokenizedText> results(texts.size());
    pool.parallel_for(static_cast<int64_t>(texts.size()), [&](int64_t i, int /*thread*/) {
      TokenizedText& result = results[static_cast<size_t>(i)];
      result.id = std::move(texts[static_cast<size_t>(i)].id);
      tokenize_text(*tokenizer, texts[static_cast<size_t>(i)].text, options.tokenizer, result);
    });
    for (const TokenizedText& result : results) {
      writer.append(format_result(result));
      num_ids += static_cast<int64_t>(result.ids.size());
    }
    num_texts += static_cast<int64_t>(results.size());
  }
  writer.finish();
  log_info(num_texts, " texts, ", num_ids, " tokens, vocabulary ", tokenizer->vocab_size());
}

}  // namespace

void run_tokenize(const TokenizeOptions& options, ControlChannel& control) {
  const CpuBudget budget = cpu_budget(control, discover_topology(control));
  const int num_threads = options.num_threads > 0 ? options.num_threads : budget.usable_cores;
  control.agree(
      [&] {
        if (control.rank() == 0) tokenize_all(options, num_threads);
      },
      {.phase = "tokenize", .patience = Patience::kForever});
}

}  // namespace switchyard
