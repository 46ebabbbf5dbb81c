#include "runtime/requests/score_input.h"

#include <algorithm>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

// A request on its way to a ScoreSequence.
class Preparation {
 public:
  Preparation(const Request& request, const Tokenizer* tokenizer, const ScoreInputOptions& options)
      : request_(request), tokenizer_(tokenizer), options_(options) {}

  ScoreSequence run() {
    const RequestContent& content = request_.content;
    sequence_.is_pair = content.context.has_value();
    sequence_.first_token = is_fairseq() ? FirstToken::kAfterStart : FirstToken::kAlone;
    const auto* text = std::get_if<std::string>(&content.scored);
    const auto* context = sequence_.is_pair ? std::get_if<std::string>(&*content.context) : nullptr;
    if (!is_fairseq() && text != nullptr && context != nullptr) {
      append_texts(*context, *text);
    } else {
      append_parts(content);
    }
    if (is_fairseq() && text != nullptr) strip_eos();
    fit_positions();
    return std::move(sequence_);
  }

 private:
  template <typename... Parts>
  [[noreturn]] void fail(const Parts&... parts) const {
    fail_input(describe_place(request_, options_.source), parts...);
  }

  bool is_fairseq() const { return options_.convention == TextConvention::kFairseq; }

  void append_parts(const RequestContent& content) {
    if (sequence_.is_pair) append(*content.context, "context_token_ids");
    const int64_t context_size = num_tokens();
    append(content.scored, sequence_.is_pair ? "continuation_token_ids" : "token_ids");
    sequence_.num_scored = num_tokens() - context_size;
  }

  void append(const TextOrIds& part, const char* key) {
    const Ids* ids = std::get_if<Ids>(&part);
    if (ids) check_vocabulary(*ids, key);
    const Ids encoded = ids ? Ids() : encode(std::get<std::string>(part));
    append_ids(ids ? *ids : encoded);
  }

  // The pair of lm-evaluation-harness.
  void append_texts(std::string_view context, std::string_view continuation) {
    const std::string whole = concat(context, continuation);
    append_ids(encode(strip_trailing_spaces(context)));
    Ids ids = encode(whole);
    const size_t context_size = std::min(sequence_.token_ids.size(), ids.size());
    ids.erase(ids.begin(), ids.begin() + static_cast<ptrdiff_t>(context_size));
    append_ids(ids);
    sequence_.num_scored = static_cast<int64_t>(ids.size());
  }

  void append_ids(const Ids& ids) {
    sequence_.token_ids.insert(sequence_.token_ids.end(), ids.begin(), ids.end());
  }

  Ids encode(std::string_view text) const {
    if (tokenizer_ == nullptr) {
      fail(" is a text, which needs a tokenizer, and there is none: ", options_.tokenizer_help);
    }
    return tokenizer_->encode(text, options_.special_tokens);
  }

  void check_vocabulary(const Ids& ids, const char* key) const {
    for (size_t i = 0; i < ids.size(); ++i) {
      if (is_fairseq() && ids[i] == options_.pad) {
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

  // Without a start token the first id of a continuation needs one of the context before it.
  int64_t num_needed_before() const {
    return !is_fairseq() && sequence_.num_scored < num_tokens() ? 1 : 0;
  }

  void fit_positions() {
    const int64_t limit = options_.max_positions - (is_fairseq() ? 1 : 0);
    const char* start = is_fairseq() ? " and the start token" : "";
    if (num_tokens() <= limit) return;
    const int64_t longest = limit - num_needed_before();
    if (sequence_.is_pair && sequence_.num_scored > longest) {
      fail(" has a continuation of ", sequence_.num_scored,
           " tokens, but the model has positions for ", longest,
           is_fairseq() ? start : " after the context's last token",
           "; --truncate left drops tokens of the context only: shorten the continuation");
    }
    if (options_.truncate == Truncate::kError) {
      fail(" has ", num_tokens(), " tokens, but the model has positions for ", limit, start,
           "; shorten it, or drop tokens on its left with --truncate left");
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
