#include "runtime/tokenizer/json/post_processor.h"

#include <limits>
#include <optional>

#include "runtime/checkpoint/random_file.h"

namespace switchyard {
namespace {

int32_t read_id(const JsonNode& node) {
  return static_cast<int32_t>(node.integer(0, std::numeric_limits<int32_t>::max() - 1));
}

// The id of an entry [token, id].
int32_t read_token_pair(const JsonNode& node) {
  const std::vector<JsonNode> parts = node.items();
  if (parts.size() != 2) node.refuse("expected [token, id]");
  return read_id(parts[1]);
}

PostProcessor read_template(const JsonNode& node) {
  const JsonNode special_tokens = node.at("special_tokens");
  PostProcessor result;
  int num_texts = 0;
  for (const JsonNode& piece : node.at("single").items()) {
    if (const std::optional<JsonNode> sequence = piece.find("Sequence")) {
      if (sequence->at("id").text() != "A") sequence->refuse("a single text is called A");
      ++num_texts;
      continue;
    }
    const JsonNode token = special_tokens.at(piece.at("SpecialToken").at("id").text());
    for (const JsonNode& id : token.at("ids").items()) {
      (num_texts == 0 ? result.prefix : result.suffix).push_back(read_id(id));
    }
  }
  if (num_texts != 1) {
    node.at("single").refuse("the text stands there ", num_texts, " times, not once");
  }
  return result;
}

bool adds_ids(const PostProcessor& processor) {
  return !processor.prefix.empty() || !processor.suffix.empty();
}

PostProcessor read_sequence(const JsonNode& node) {
  PostProcessor result;
  for (const JsonNode& part : node.at("processors").items()) {
    const PostProcessor next = read_post_processor(part);
    if (!adds_ids(next)) continue;
    // The reference library gives each part of what the first one gives to the second one alone.
    if (adds_ids(result)) part.refuse("a second post-processor that adds tokens is not supported");
    result = next;
  }
  return result;
}

}  // namespace

PostProcessor read_post_processor(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") return {};
  if (type == "TemplateProcessing") return read_template(node);
  if (type == "BertProcessing" || type == "RobertaProcessing") {
    return {{read_token_pair(node.at("cls"))}, {read_token_pair(node.at("sep"))}};
  }
  if (type == "Sequence") return read_sequence(node);
  node.refuse("post-processors of type '", type, "' are not supported; these are: ",
              "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence");
}

}  // namespace switchyard
