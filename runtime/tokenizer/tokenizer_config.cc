#include "runtime/tokenizer/tokenizer_config.h"

#include <boost/json.hpp>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>
#include <string_view>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/json_file.h"

namespace switchyard {
namespace {

namespace json = boost::json;

constexpr const char* kConfig = "tokenizer_config.json";
constexpr const char* kAddedTokens = "added_tokens.json";
constexpr char kHelp[] = "it says which tokens stand beside a tokenizer's vocabulary";

using TokensById = std::map<int32_t, AddedToken>;

std::string path_in(const std::string& folder, const char* name) {
  return (std::filesystem::path(folder) / name).string();
}

bool is_there(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

/// The value of a key, null where the key is missing or null.
const json::value* find(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr || value->is_null() ? nullptr : value;
}

std::optional<bool> read_switch(const json::object& object, const char* key,
                                const std::string& path) {
  const json::value* value = find(object, key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_bool()) {
    fail_input(path, ": \"", key, "\" must be true or false, not ", json::serialize(*value));
  }
  return value->get_bool();
}

/// A token is a string, or an object with "content".
std::string read_token(const json::value& value, const char* key, const std::string& path) {
  const json::value* content = &value;
  if (const json::object* object = value.if_object()) content = object->if_contains("content");
  if (content == nullptr || !content->is_string()) {
    fail_input(path, ": \"", key, "\" must be a string or an object with \"content\", not ",
               json::serialize(value));
  }
  return json::value_to<std::string>(*content);
}

std::string read_named_token(const json::object& object, const char* key, const std::string& path) {
  const json::value* value = find(object, key);
  return value == nullptr ? "" : read_token(*value, key, path);
}

void add_token(const AddedToken& token, const std::string& path, TokensById& tokens) {
  if (token.content.empty()) fail_input(path, ": the added token ", token.id, " is empty");
  const auto [at, is_new] = tokens.emplace(token.id, token);
  if (is_new || at->second.content == token.content) return;
  fail_input(path, ": the id ", token.id, " is that of '", printable(at->second.content),
             "' and of '", printable(token.content), "'");
}

bool is_special(const json::value& token) {
  const json::object* object = token.if_object();
  const json::value* special = object == nullptr ? nullptr : object->if_contains("special");
  return special != nullptr && special->is_bool() && special->get_bool();
}

/// {"32000": {"content": "<pad>", ...}, ...}
void read_added_tokens_decoder(const json::object& config, const std::string& path,
                               TokensById& tokens) {
  constexpr const char* kKey = "added_tokens_decoder";
  const json::value* decoder = find(config, kKey);
  if (decoder == nullptr) return;
  if (!decoder->is_object()) fail_input(path, ": \"", kKey, "\" must be an object {id: token}");
  for (const auto& [key, value] : decoder->get_object()) {
    int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      fail_input(path, ": \"", kKey, "\" has the key '", printable(key),
                 "', which must be an id from 0 to 2147483647");
    }
    add_token({id, read_token(value, kKey, path),
               is_special(value) ? AddedToken::Kind::kSpecial : AddedToken::Kind::kWord},
              path, tokens);
  }
}

/// {"<pad>": 32000, ...}
void read_added_tokens_file(const std::string& path, TokensById& tokens) {
  if (!is_there(path)) return;
  for (const auto& [content, id] : read_json_object(path, kHelp)) {
    add_token({read_token_id(id, content, path), std::string(content)}, path, tokens);
  }
}

/// Marks the tokens that "bos_token", "additional_special_tokens" and such name.
void mark_special(const json::object& config, TokensById& tokens) {
  std::set<std::string> special;
  const auto add = [&special](const json::value& value) {
    const json::object* object = value.if_object();
    const json::value* content = object == nullptr ? &value : object->if_contains("content");
    if (content != nullptr && content->is_string()) {
      special.insert(json::value_to<std::string>(*content));
    }
  };
  for (const auto& [key, value] : config) {
    if (key.ends_with("_token")) add(value);
    if (key != "additional_special_tokens" || !value.is_array()) continue;
    for (const json::value& token : value.get_array()) add(token);
  }
  for (auto& [id, token] : tokens) {
    if (special.contains(token.content)) token.kind = AddedToken::Kind::kSpecial;
  }
}

}  // namespace

std::vector<std::string> tokenizer_config_files(const std::string& folder) {
  return {path_in(folder, kConfig), path_in(folder, kAddedTokens)};
}

TokenizerConfig read_tokenizer_config(const std::string& folder) {
  TokenizerConfig config;
  config.path = path_in(folder, kConfig);
  TokensById tokens;
  json::object object;
  if (is_there(config.path)) {
    object = read_json_object(config.path, kHelp);
    config.tokenizer_class = read_named_token(object, "tokenizer_class", config.path);
    config.add_bos_token = read_switch(object, "add_bos_token", config.path);
    config.add_eos_token = read_switch(object, "add_eos_token", config.path);
    config.add_prefix_space = read_switch(object, "add_prefix_space", config.path);
    config.legacy = read_switch(object, "legacy", config.path);
    config.bos_token = read_named_token(object, "bos_token", config.path);
    config.eos_token = read_named_token(object, "eos_token", config.path);
    read_added_tokens_decoder(object, config.path, tokens);
  }
  read_added_tokens_file(path_in(folder, kAddedTokens), tokens);
  mark_special(object, tokens);
  for (auto& [id, token] : tokens) config.added_tokens.push_back(std::move(token));
  return config;
}

}  // namespace switchyard
