#include "runtime/requests/request.h"

#include <algorithm>
#include <array>
#include <boost/json/basic_parser_impl.hpp>
#include <limits>

#include "kernels/base/error.h"
#include "runtime/requests/json_text.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

enum Field {
  kId,
  kText,
  kTokenIds,
  kContext,
  kContinuation,
  kContextTokenIds,
  kContinuationTokenIds,
  kPrompt,
  kPromptTokenIds,
  kNumFields,
  kIgnored = kNumFields,
};

constexpr std::array<std::string_view, kNumFields> kFieldNames = {"id",
                                                                  "text",
                                                                  "token_ids",
                                                                  "context",
                                                                  "continuation",
                                                                  "context_token_ids",
                                                                  "continuation_token_ids",
                                                                  "prompt",
                                                                  "prompt_token_ids"};

constexpr char kRequestForms[] =
    "a request is {\"id\", \"text\"}, {\"id\", \"token_ids\"}, {\"id\", \"context\", "
    "\"continuation\"} or {\"id\", \"context_token_ids\", \"continuation_token_ids\"}";

constexpr char kPromptForms[] =
    "a prompt is {\"id\", \"prompt\"} or {\"id\", \"prompt_token_ids\"}";

constexpr char kTextForm[] = "a line holds {\"text\"}";

constexpr unsigned kPromptFields = 1u << kPrompt | 1u << kPromptTokenIds;

/// The keys that count, as bits, and what a message says of them.
struct LineSchema {
  unsigned fields = 0;
  const char* forms = kRequestForms;
};

constexpr LineSchema kRequestSchema = {((1u << kNumFields) - 1) & ~kPromptFields, kRequestForms};
constexpr LineSchema kPromptSchema = {1u << kId | kPromptFields, kPromptForms};
constexpr LineSchema kIdSchema = {1u << kId, kRequestForms};

Field field_named(std::string_view name) {
  for (size_t i = 0; i < kFieldNames.size(); ++i) {
    if (name == kFieldNames[i]) return static_cast<Field>(i);
  }
  return kIgnored;
}

bool is_list(Field field) {
  return field == kTokenIds || field == kContextTokenIds || field == kContinuationTokenIds ||
         field == kPromptTokenIds;
}

// The fields of one line as the JSON parser meets them. A parser of events, because one that builds
// a tree keeps the last of two equal keys silently and a tree of numbers takes 16 bytes each.
class RequestHandler {
 public:
  // The parser's limits; a line is bounded by who reads it.
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);
  using error_code = boost::json::error_code;
  using string_view = boost::json::string_view;

  explicit RequestHandler(const LineSchema& schema) : schema_(schema) {}

  bool has(Field field) const { return (present_ & (1u << field)) != 0; }
  RequestId& id() { return id_; }
  std::string& text_of(Field field) { return texts_[field]; }
  std::vector<int32_t>& list_of(Field field) { return lists_[field]; }

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }

  bool on_object_begin(error_code&) {
    if (depth_ > 0) value_found("an object");
    ++depth_;
    return true;
  }
  bool on_object_end(size_t, error_code&) {
    --depth_;
    return true;
  }

  bool on_array_begin(error_code&) {
    const bool is_wanted_list = depth_ == 1 && is_list(field_);
    if (!is_wanted_list) value_found("a list");
    ++depth_;
    return true;
  }
  bool on_array_end(size_t, error_code&) {
    --depth_;
    return true;
  }

  bool on_key_part(string_view part, size_t, error_code&) {
    if (depth_ == 1) buffer_ += part;
    return true;
  }
  bool on_key(string_view part, size_t, error_code&) {
    if (depth_ != 1) return true;
    buffer_ += part;
    field_ = field_named(buffer_);
    if ((schema_.fields & (1u << field_)) == 0) field_ = kIgnored;
    buffer_.clear();
    if (field_ == kIgnored) return true;
    if (has(field_)) fail_input("the key \"", kFieldNames[field_], "\" stands there twice");
    present_ |= 1u << field_;
    return true;
  }

  bool on_string_part(string_view part, size_t, error_code&) {
    if (wants_string()) buffer_ += part;
    return true;
  }
  bool on_string(string_view part, size_t, error_code&) {
    if (!wants_string()) {
      value_found("a string");
      return true;
    }
    buffer_ += part;
    if (field_ == kId) {
      id_ = std::move(buffer_);
    } else {
      texts_[field_] = std::move(buffer_);
    }
    buffer_.clear();
    return true;
  }

  bool on_number_part(string_view, error_code&) { return true; }
  bool on_int64(int64_t value, string_view, error_code&) {
    if (depth_ == 1 && field_ == kId) {
      id_ = value;
    } else if (depth_ == 2 && is_list(field_)) {
      if (value < 0 || value > std::numeric_limits<int32_t>::max()) {
        fail_input("\"", kFieldNames[field_], "\" holds ", value, " at index ",
                   lists_[field_].size(), "; a token id is from 0 to 2147483647");
      }
      lists_[field_].push_back(static_cast<int32_t>(value));
    } else {
      value_found("a number");
    }
    return true;
  }
  bool on_uint64(uint64_t, string_view, error_code&) {
    value_found("an integer above 9223372036854775807");
    return true;
  }
  bool on_double(double, string_view, error_code&) {
    value_found(field_ == kId || is_list(field_) ? "a number that is not an integer of 64 bits"
                                                 : "a number");
    return true;
  }
  bool on_bool(bool value, error_code&) {
    value_found(value ? "true" : "false");
    return true;
  }
  bool on_null(error_code&) {
    value_found("null");
    return true;
  }
  bool on_comment_part(string_view, error_code&) { return true; }
  bool on_comment(string_view, error_code&) { return true; }

 private:
  bool wants_string() const { return depth_ == 1 && field_ != kIgnored && !is_list(field_); }

  // A value that no field takes: an error unless it stands below a key that is ignored.
  void value_found(const char* what) const {
    if (depth_ == 0) fail_input("expected a JSON object, found ", what, "; ", schema_.forms);
    if (field_ == kIgnored) return;
    const std::string_view name = kFieldNames[field_];
    if (field_ == kId) fail_input("\"id\" must be an integer or a string (found ", what, ")");
    if (!is_list(field_)) fail_input("\"", name, "\" must be a string (found ", what, ")");
    const std::string where = depth_ == 1 ? "" : concat(" at index ", lists_[field_].size());
    fail_input("\"", name, "\" must be a list of integers (found ", what, where, ")");
  }

  LineSchema schema_;
  int depth_ = 0;
  Field field_ = kIgnored;
  unsigned present_ = 0;  // bit: field
  std::string buffer_;    // of a key or string that comes in parts
  RequestId id_;
  std::array<std::string, kNumFields> texts_;
  std::array<std::vector<int32_t>, kNumFields> lists_;
};

void parse_json(std::string_view line, const LineSchema& schema,
                boost::json::basic_parser<RequestHandler>& parser) {
  boost::json::error_code error;
  const size_t used = parser.write_some(false, line.data(), line.size(), error);
  if (!error && used < line.size()) error = boost::json::error::extra_data;
  if (error == boost::json::error::too_deep) {
    fail_input("the line is nested more than 32 levels deep; ", schema.forms);
  }
  if (error) {
    const size_t invalid = find_invalid_utf8(line);
    if (invalid != line.npos) {
      fail_input("the line is not UTF-8 (from byte ", invalid, " of ", line.size(),
                 " on); expected one JSON object a line");
    }
    fail_input("not valid JSON (", error.message(), ", after ", used, " of ", line.size(),
               " bytes); expected one JSON object a line");
  }
}

// The keys beside the id that a line has, as bits and as a message names them.
struct FoundFields {
  unsigned present = 0;
  std::string names;

  explicit FoundFields(const RequestHandler& handler) {
    for (int field = kText; field < kNumFields; ++field) {
      if (!handler.has(static_cast<Field>(field))) continue;
      present |= 1u << field;
      names += concat(names.empty() ? "" : ", ", '"', kFieldNames[field], '"');
    }
    if (names.empty()) names = "none of these keys";
  }
};

// The fields of the one form that the line has.
RequestContent take_content(RequestHandler& handler) {
  const FoundFields found(handler);
  const unsigned present = found.present;
  const auto is_exactly = [present](unsigned fields) { return present == fields; };
  RequestContent content;
  if (is_exactly(1u << kText)) {
    content.scored = std::move(handler.text_of(kText));
  } else if (is_exactly(1u << kTokenIds)) {
    content.scored = std::move(handler.list_of(kTokenIds));
  } else if (is_exactly(1u << kContext | 1u << kContinuation)) {
    content.context = std::move(handler.text_of(kContext));
    content.scored = std::move(handler.text_of(kContinuation));
  } else if (is_exactly(1u << kContextTokenIds | 1u << kContinuationTokenIds)) {
    content.context = std::move(handler.list_of(kContextTokenIds));
    content.scored = std::move(handler.list_of(kContinuationTokenIds));
  } else {
    fail_input(kRequestForms, " (found ", found.names, ")");
  }
  return content;
}

TextOrIds take_prompt(RequestHandler& handler) {
  const FoundFields found(handler);
  if (found.present == 1u << kPrompt) return std::move(handler.text_of(kPrompt));
  if (found.present == 1u << kPromptTokenIds) return std::move(handler.list_of(kPromptTokenIds));
  fail_input(kPromptForms, " (found ", found.names, ")");
}

boost::json::parse_options parse_options() {
  boost::json::parse_options options;
  options.max_depth = 32;
  return options;
}

/// The id and what `take` makes of the other fields.
template <typename Take>
auto parse_fields(std::string_view line, const LineSchema& schema, Take take) {
  boost::json::basic_parser<RequestHandler> parser(parse_options(), schema);
  parse_json(line, schema, parser);
  RequestHandler& handler = parser.handler();
  if (!handler.has(kId)) fail_input("\"id\" is missing; ", schema.forms);
  return std::pair(std::move(handler.id()), take(handler));
}

TextRecord parse_text_fields(std::string_view line, TextId id) {
  const LineSchema schema = {1u << kText | (id == TextId::kRead ? 1u << kId : 0u), kTextForm};
  boost::json::basic_parser<RequestHandler> parser(parse_options(), schema);
  parse_json(line, schema, parser);
  RequestHandler& handler = parser.handler();
  if (!handler.has(kText)) fail_input("\"text\" is missing; ", schema.forms);
  TextRecord record;
  if (handler.has(kId)) record.id = std::move(handler.id());
  record.text = std::move(handler.text_of(kText));
  return record;
}

/// What `parse` gives; the place is put before the message of its error.
template <typename Parse>
auto parse_at(int64_t line_number, const std::string& source, Parse parse) {
  try {
    return parse();
  } catch (const Error& error) {
    throw Error(error.kind(), concat(source, ":", line_number, ": ", error.what()));
  }
}

}  // namespace

int64_t ScoreSequence::num_rows() const {
  const int64_t num_tokens = static_cast<int64_t>(token_ids.size());
  if (first_token == FirstToken::kAfterStart || num_tokens == 0) return num_tokens;
  return num_tokens - 1;
}

int64_t ScoreSequence::num_logprobs() const { return std::min(num_scored, num_rows()); }

std::string describe_place(const RequestId& id, int64_t line, const std::string& source) {
  return concat(source, ":", line, ": request ", describe(id));
}

Request parse_request(std::string_view line, int64_t line_number, const std::string& source) {
  auto [id, content] = parse_at(line_number, source,
                                [&] { return parse_fields(line, kRequestSchema, take_content); });
  return {line_number, std::move(id), std::move(content)};
}

Prompt parse_prompt(std::string_view line, int64_t line_number, const std::string& source) {
  auto [id, content] =
      parse_at(line_number, source, [&] { return parse_fields(line, kPromptSchema, take_prompt); });
  return {line_number, std::move(id), std::move(content)};
}

RequestId parse_request_id(std::string_view line, int64_t line_number, const std::string& source) {
  return parse_at(line_number, source, [&] {
    return parse_fields(line, kIdSchema, [](RequestHandler&) { return 0; }).first;
  });
}

TextRecord parse_text_record(std::string_view line, int64_t line_number, const std::string& source,
                             TextId id) {
  return parse_at(line_number, source, [&] { return parse_text_fields(line, id); });
}

}  // namespace switchyard
