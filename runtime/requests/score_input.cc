#include "runtime/requests/score_input.h"

#include <algorithm>
#include <variant>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;
using TextOrIds = std::variant<std::string, Ids>;

// A request on its way to a ScoreSequence.
class Preparation {
 public:
  Preparation(const Request& request, const Tokenizer* tokenizer, const ScoreInputOptions& options)
      : request_(request), tokenizer_(tokenizer), options_(options) {}

  ScoreSequence run() {
    const RequestContent& content = request_.content;
    sequence_.is_pair = content.context.has_value();
    if (sequence_.is_pair) append(*content.context, "context_token_ids");
    const size_t context_size = sequence_.token_ids.size();
    append(content.scored, sequence_.is_pair ? "continuation_token_ids" : "token_ids");
    sequence_.num_scored = static_cast<int64_t>(sequence_.token_ids.size() - context_size);
    if (std::holds_alternative<std::string>(content.scored)) strip_eos();
    fit_positions();
    return std::move(sequence_);
  }

 private:
  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    fail_input(describe_place(request_, options_.source), parts...);
  }

  void append(const TextOrIds& part, const char* key) {
    const Ids* ids = std::get_if<Ids>(&part);
    if (ids) {
      check_vocabulary(*ids, key);
    } else if (tokenizer_ == nullptr) {
      fail(" is a text, which needs a tokenizer, and there is none: ", options_.tokenizer_help);
    }
    const Ids encoded = ids ? Ids() : tokenizer_->encode(std::get<std::string>(part));
    const Ids& added = ids ? *ids : encoded;
    sequence_.token_ids.insert(sequence_.token_ids.end(), added.begin(), added.end());
  }

  void check_vocabulary(const Ids& ids, const char* key) const {
    for (size_t i = 0; i < ids.size(); ++i) {
      if (ids[i] == options_.pad) {
        fail(": ", key, "[", i, "] is ", ids[i],
             ", <pad>, which stands for no token; leave it out");
      }
      if (ids[i] >= 0 && ids[i] < options_.vocab_size) continue;
      fail(": ", key, "[", i, "] is ", ids[i], ", but the model's vocabulary has the ids 0 to ",
           options_.vocab_size - 1);
    }
  }

  void strip_eos() {
    Ids& ids = sequence_.token_ids;
    while (!ids.empty() && ids.back() == options_.eos) {
      ids.pop_back();
      sequence_.num_scored = std::max<int64_t>(sequence_.num_scored - 1, 0);
    }
    const auto is_kept = [this](int32_t id) { return id != options_.eos; };
    ids.erase(ids.begin(), std::find_if(ids.begin(), ids.end(), is_kept));
    sequence_.num_scored = std::min(sequence_.num_scored, num_tokens());
  }

  void fit_positions() {
    const int64_t limit = options_.max_positions - 1;
    if (num_tokens() <= limit) return;
    if (sequence_.is_pair && sequence_.num_scored > limit) {
      fail(" has a continuation of ", sequence_.num_scored,
           " tokens, but the model has positions for ", limit,
           " and the start token; --truncate left drops tokens of the context only: shorten the "
           "continuation");
    }
    if (options_.truncate == Truncate::kError) {
      fail(" has ", num_tokens(), " tokens, but the model has positions for ", limit,
           " and the start token; shorten it, or drop tokens on its left with --truncate left");
    }
    Ids& ids = sequence_.token_ids;
    ids.erase(ids.begin(), ids.end() - limit);
    sequence_.num_scored = std::min(sequence_.num_scored, limit);
  }

  int64_t num_tokens() const { return static_cast<int64_t>(sequence_.token_ids.size()); }

  const Request& request_;
  const Tokenizer* tokenizer_;
  const ScoreInputOptions& options_;
  ScoreSequence sequence_;
};

}  // namespace

ScoreSequence prepare_score_input(const Request& request, const Tokenizer* tokenizer,
                                  const ScoreInputOptions& options) {
  return Preparation(request, tokenizer, options).run();
}

}  // namespace switchyard
