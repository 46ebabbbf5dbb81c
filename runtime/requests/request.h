// Requests and results: lines of JSON.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace switchyard {

/// A request's "id", echoed as given.
using RequestId = std::variant<int64_t, std::string>;

/// An id as a message shows it: 7 or "seven", a long one cut short.
std::string describe(const RequestId& id);

/// 128 bits that are the same for equal ids everywhere, and never all zero. Integer 5 and string
/// "5" are different ids.
std::array<uint64_t, 2> hash_of(const RequestId& id);

/// A text or token ids.
using TextOrIds = std::variant<std::string, std::vector<int32_t>>;

/// What to score: a text or ids, alone or as a continuation of a context.
struct RequestContent {
  TextOrIds scored;
  /// Empty optional: `scored` stands alone, after the start token.
  std::optional<TextOrIds> context;
};

/// One line of the input.
struct Request {
  int64_t line = 0;  // 1-based, for messages
  RequestId id;
  RequestContent content;
};

/// Parses {"id", "text"}, {"id", "token_ids"}, {"id", "context", "continuation"} or {"id",
/// "context_token_ids", "continuation_token_ids"}; other keys are ignored. Throws Error(kInput)
/// naming source and line, what is wrong and what is expected.
Request parse_request(std::string_view line, int64_t line_number, const std::string& source);

/// What to continue: one line of the input of `generate`.
struct Prompt {
  int64_t line = 0;  // 1-based, for messages
  RequestId id;
  TextOrIds content;
};

/// Parses {"id", "prompt"} or {"id", "prompt_token_ids"}; other keys are ignored. Throws
/// Error(kInput) as parse_request.
Prompt parse_prompt(std::string_view line, int64_t line_number, const std::string& source);

/// The "id" of a line, whatever else it holds. Throws Error(kInput) as parse_request.
RequestId parse_request_id(std::string_view line, int64_t line_number, const std::string& source);

/// A text with whatever belongs to it, as `tokenize` and documents of `perplexity` have it.
struct TextRecord {
  std::optional<RequestId> id;
  std::string text;
};

/// Whether the "id" of a text is of use; if not it may be anything.
enum class TextId : uint8_t { kRead, kIgnored };

/// Parses {"text"}, other keys are ignored; "id" may be left out. Throws Error(kInput) as
/// parse_request.
TextRecord parse_text_record(std::string_view line, int64_t line_number, const std::string& source,
                             TextId id);

/// Where a request stands, as messages begin: "IN.jsonl:12: request \"seven\"".
std::string describe_place(const RequestId& id, int64_t line, const std::string& source);
inline std::string describe_place(const Request& request, const std::string& source) {
  return describe_place(request.id, request.line, source);
}

/// What the first id of a sequence is conditioned on.
enum class FirstToken : uint8_t {
  kAfterStart,  ///< the model's start token, which is the first input
  kAlone,       ///< nothing: it is the first input itself and has no log-prob
};

/// A request ready to run: one sequence of ids, the last `num_scored` of which are reported. If
/// these are all ids and the first one stands alone, it is reported without a log-prob.
struct ScoreSequence {
  std::vector<int32_t> token_ids;
  int64_t num_scored = 0;
  FirstToken first_token = FirstToken::kAfterStart;
  bool is_pair = false;  // the result carries "is_greedy"

  /// Rows of input that scoring needs: the last id is never one.
  int64_t num_rows() const;
  /// How many of the ids get a log-prob: num_scored, or one less.
  int64_t num_logprobs() const;
};

/// One result, written by format_result.
struct ScoreResult {
  RequestId id;
  std::vector<int32_t> token_ids;     // the scored ones
  std::vector<float> token_logprobs;  // one each; none of a first one that follows nothing
  std::optional<bool> is_greedy;      // pairs: every scored token is the arg max
  /// --top-logprobs K: per log-prob K (id, log-prob), best first.
  std::optional<std::vector<std::vector<std::pair<int32_t, float>>>> top_logprobs;
};

/// One line without line end. The text is a contract: keys in the order id, token_ids,
/// token_logprobs, logprob, num_tokens, is_greedy, top_logprobs; no white space; log-probs as the
/// shortest text that reads back as the same fp32; "logprob" the sum of these numbers, read as
/// doubles as JSON readers do, in double precision in token order, as the shortest text that reads
/// back as the same double; a token without a log-prob has null and is not counted; ".0" is
/// appended where a number would read as an integer. Throws Error(kInternal) for non-finite values.
std::string format_result(const ScoreResult& result);

/// Why a sequence ended.
enum class FinishReason : uint8_t {
  kStop,    ///< an end-of-sequence token or a stop string came
  kLength,  ///< the most new tokens, or the last position
};

/// What was generated for a prompt.
struct GenerateResult {
  RequestId id;
  std::optional<int64_t> index;     // where a prompt has several results: 0, 1, ...
  std::vector<int32_t> token_ids;   // the new ones, an end-of-sequence token included
  std::optional<std::string> text;  // of these, valid UTF-8; none without a tokenizer
  FinishReason finish_reason = FinishReason::kLength;
  std::optional<std::vector<float>> token_logprobs;  // one each
};

/// One line without line end: keys in the order id, index (if there is one), generated_token_ids,
/// text (null where there is none), finish_reason ("stop" or "length"), token_logprobs (if there
/// are any); log-probs as in the results of scoring.
std::string format_result(const GenerateResult& result);

/// One text's tokens.
struct TokenizedText {
  std::optional<RequestId> id;
  std::vector<int32_t> ids;
  std::string decoded;  // valid UTF-8
};

/// One line without line end: keys in the order id (if there is one), ids, decoded.
std::string format_result(const TokenizedText& result);

}  // namespace switchyard
