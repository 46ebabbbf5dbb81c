#include <array>
#include <charconv>

#include "kernels/base/error.h"
#include "runtime/requests/json_text.h"
#include "runtime/requests/request.h"

namespace switchyard {
namespace {

void append_id(const RequestId& id, std::string& out) {
  if (const int64_t* number = std::get_if<int64_t>(&id)) {
    out += std::to_string(*number);
  } else {
    append_json_string(std::get<std::string>(id), out);
  }
}

/// What a list begins with: its own first element, or a null before it.
enum class FirstElement { kOfList, kNull };

// "[a,b,c]", each element written by append_element(element).
template <typename List, typename AppendElement>
void append_list(const List& list, std::string& out, AppendElement append_element,
                 FirstElement first = FirstElement::kOfList) {
  out += first == FirstElement::kNull ? "[null" : "[";
  bool is_first = first == FirstElement::kOfList;
  for (const auto& element : list) {
    if (!is_first) out += ',';
    is_first = false;
    append_element(element);
  }
  out += ']';
}

// What a reader of JSON, where numbers are doubles, takes the written log-prob for.
double as_read(float logprob) {
  std::array<char, 32> text;
  const auto written = std::to_chars(text.data(), text.data() + text.size(), logprob);
  double value = 0.0;
  std::from_chars(text.data(), written.ptr, value);
  return value;
}

}  // namespace

std::string format_result(const ScoreResult& result) {
  const size_t num_scored = result.token_logprobs.size();
  SWITCHYARD_CHECK(num_scored == result.token_ids.size() ||
                   num_scored + 1 == result.token_ids.size());
  SWITCHYARD_CHECK(!result.top_logprobs || result.top_logprobs->size() == num_scored);
  const bool has_first = num_scored == result.token_ids.size();
  std::string out = "{\"id\":";
  const auto append_integer = [&out](int64_t value) { out += std::to_string(value); };
  const auto append_float = [&out](float value) { append_json_number(value, out); };
  append_id(result.id, out);
  out += ",\"token_ids\":";
  append_list(result.token_ids, out, append_integer);
  out += ",\"token_logprobs\":";
  const FirstElement first = has_first ? FirstElement::kOfList : FirstElement::kNull;
  append_list(result.token_logprobs, out, append_float, first);
  double sum = 0.0;
  for (const float logprob : result.token_logprobs) sum += as_read(logprob);
  out += ",\"logprob\":";
  append_json_number(sum, out);
  out += ",\"num_tokens\":";
  append_integer(static_cast<int64_t>(num_scored));
  if (result.is_greedy) out += *result.is_greedy ? ",\"is_greedy\":true" : ",\"is_greedy\":false";
  if (result.top_logprobs) {
    out += ",\"top_logprobs\":";
    append_list(
        *result.top_logprobs, out,
        [&](const auto& candidates) {
          append_list(candidates, out, [&](const auto& candidate) {
            out += '[';
            append_integer(candidate.first);
            out += ',';
            append_float(candidate.second);
            out += ']';
          });
        },
        first);
  }
  out += '}';
  return out;
}

std::string format_result(const GenerateResult& result) {
  SWITCHYARD_CHECK(!result.token_logprobs ||
                   result.token_logprobs->size() == result.token_ids.size());
  std::string out = "{\"id\":";
  append_id(result.id, out);
  if (result.index) out += concat(",\"index\":", *result.index);
  out += ",\"generated_token_ids\":";
  append_list(result.token_ids, out, [&out](int64_t id) { out += std::to_string(id); });
  out += ",\"text\":";
  if (result.text) {
    append_json_string(*result.text, out);
  } else {
    out += "null";
  }
  out += result.finish_reason == FinishReason::kStop ? ",\"finish_reason\":\"stop\""
                                                     : ",\"finish_reason\":\"length\"";
  if (result.token_logprobs) {
    out += ",\"token_logprobs\":";
    append_list(*result.token_logprobs, out,
                [&out](float value) { append_json_number(value, out); });
  }
  return out + "}";
}

std::string format_result(const TokenizedText& result) {
  std::string out = "{";
  if (result.id) {
    out += "\"id\":";
    append_id(*result.id, out);
    out += ',';
  }
  out += "\"ids\":";
  append_list(result.ids, out, [&out](int64_t id) { out += std::to_string(id); });
  out += ",\"decoded\":";
  append_json_string(result.decoded, out);
  return out + "}";
}

}  // namespace switchyard
