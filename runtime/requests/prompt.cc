#include "runtime/requests/prompt.h"

#include <string_view>
#include <utility>
#include <variant>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr const char* kCommandLine = "--prompt";

void check_ids(const std::vector<int32_t>& ids, const std::string& place,
               const PromptOptions& options) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] >= 0 && ids[i] == options.pad) {
      fail_input(place, ": prompt_token_ids[", i, "] is ", ids[i],
                 ", <pad>, which stands for no token; leave it out");
    }
    if (ids[i] >= 0 && ids[i] < options.vocab_size) continue;
    fail_input(place, ": prompt_token_ids[", i, "] is ", ids[i],
               ", but the model's vocabulary has the ids 0 to ", options.vocab_size - 1);
  }
}

}  // namespace

PreparedPrompt prepare_prompt(const Prompt& prompt, const Tokenizer* tokenizer,
                              const PromptOptions& options, const std::string& source) {
  const std::string place = describe_place(prompt.id, prompt.line, source);
  PreparedPrompt result{prompt.line, prompt.id, {}};
  if (options.start_token >= 0) result.input_ids.push_back(options.start_token);
  std::vector<int32_t> encoded;
  const auto* ids = std::get_if<std::vector<int32_t>>(&prompt.content);
  if (ids != nullptr) {
    check_ids(*ids, place, options);
  } else if (tokenizer == nullptr) {
    fail_input(place,
               " is a text, which needs a tokenizer, and there is none: ", options.tokenizer_help);
  } else {
    encoded = tokenizer->encode(std::get<std::string>(prompt.content), options.special_tokens);
    ids = &encoded;
  }
  result.input_ids.insert(result.input_ids.end(), ids->begin(), ids->end());
  if (result.input_ids.empty()) {
    fail_input(place, " has no token, and the model has no start token to begin with; give at ",
               "least one token");
  }
  if (static_cast<int64_t>(result.input_ids.size()) > options.max_length) {
    fail_input(place, " has ", ids->size(), " tokens",
               options.start_token >= 0 ? " and the start token" : "",
               ", but a sequence has at most ", options.max_length, " positions; shorten it");
  }
  return result;
}

PromptStream::PromptStream(const std::string& path, const Tokenizer* tokenizer,
                           const PromptOptions& options)
    : reader_(std::in_place, path),
      ids_(path, reader_->name()),
      tokenizer_(tokenizer),
      options_(options) {}

PromptStream::PromptStream(const Prompt& text, const Tokenizer* tokenizer,
                           const PromptOptions& options)
    : text_(text), ids_("-", kCommandLine), tokenizer_(tokenizer), options_(options) {}

std::optional<PreparedPrompt> PromptStream::next() {
  if (text_) {
    if (num_read_++ > 0) return std::nullopt;
    return prepare_prompt(*text_, tokenizer_, options_, kCommandLine);
  }
  const std::optional<std::string_view> line = reader_->next();
  if (!line) return std::nullopt;
  if (num_read_++ > 0 && options_.count == PromptCount::kOne) {
    fail_input(reader_->name(), ":", reader_->line_number(),
               ": a second prompt, but --stream shows the text of one; leave it out, or --stream");
  }
  const Prompt prompt = parse_prompt(*line, reader_->line_number(), reader_->name());
  ids_.add(prompt.id, prompt.line);
  return prepare_prompt(prompt, tokenizer_, options_, reader_->name());
}

}  // namespace switchyard
