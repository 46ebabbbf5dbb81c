#include "runtime/tokenizer/tiktoken_definition.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <map>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/json_file.h"

namespace switchyard {
namespace {

namespace json = boost::json;

constexpr const char* kConfig = "tiktoken_config.json";
constexpr char kHelp[] =
    "it describes a tiktoken vocabulary: {\"pat_str\": the regular expression of words, "
    "\"special_tokens\": {name: id}}";

constexpr char kContraction[] = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?)";
constexpr char kSpaces[] = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";

// tokenization_kimi.py, TikTokenTokenizer.pat_str.
std::string kimi_pattern() {
  return concat(R"([\p{Han}]+)",
                R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)",
                R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)", kContraction,
                R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)",
                R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)", kContraction,
                R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*)", kSpaces);
}

// tiktoken_ext/openai_public.py, o200k_base.
std::string o200k_pattern() {
  return concat(R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*)",
                R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]+)", kContraction,
                R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+)",
                R"([\p{Ll}\p{Lm}\p{Lo}\p{M}]*)", kContraction,
                R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*)", kSpaces);
}

std::string config_path(const std::string& folder) {
  return (std::filesystem::path(folder) / kConfig).string();
}

AddedToken special(int32_t id, std::string name) {
  return {id, std::move(name), AddedToken::Kind::kSpecial};
}

TiktokenDefinition read_definition(const std::string& path) {
  const json::object config = read_json_object(path, kHelp);
  const json::value* pattern = config.if_contains("pat_str");
  const json::value* tokens = config.if_contains("special_tokens");
  if (pattern == nullptr || !pattern->is_string()) {
    fail_input(path, ": \"pat_str\" must be a string; ", kHelp);
  }
  if (tokens == nullptr || !tokens->is_object()) {
    fail_input(path, ": \"special_tokens\" must be an object; ", kHelp);
  }
  TiktokenDefinition definition;
  definition.pattern = json::value_to<std::string>(*pattern);
  definition.place = concat(path, ": pat_str");
  for (const auto& [name, id] : tokens->get_object()) {
    if (name.empty()) fail_input(path, ": a special token is empty");
    definition.special_tokens.push_back(special(read_token_id(id, name, path), std::string(name)));
  }
  return definition;
}

TiktokenDefinition kimi_definition(const TokenizerConfig& config, int64_t num_ranks,
                                   std::optional<int64_t> embedding_rows) {
  constexpr int64_t kNumReserved = 256;
  const int64_t end = num_ranks + kNumReserved;
  std::map<int32_t, std::string> names;
  for (int64_t id = num_ranks; id < std::min(end, embedding_rows.value_or(end)); ++id) {
    names[static_cast<int32_t>(id)] = concat("<|reserved_token_", id, "|>");
  }
  for (const AddedToken& token : config.added_tokens) {
    const auto reserved = names.find(token.id);
    if (reserved != names.end()) reserved->second = token.content;
  }
  TiktokenDefinition definition{kimi_pattern(), "the pattern of Kimi-K2", {}};
  for (auto& [id, name] : names) definition.special_tokens.push_back(special(id, std::move(name)));
  return definition;
}

TiktokenDefinition gpt_oss_definition() {
  constexpr int32_t kFirst = 199998;
  constexpr int32_t kEnd = 201088;
  std::map<int32_t, std::string> names;
  for (int32_t id = kFirst; id < kEnd; ++id) names[id] = concat("<|reserved_", id, "|>");
  names.insert_or_assign(199998, "<|startoftext|>");
  names.insert_or_assign(199999, "<|endoftext|>");
  names.insert_or_assign(200002, "<|return|>");
  names.insert_or_assign(200003, "<|constrain|>");
  names.insert_or_assign(200005, "<|channel|>");
  names.insert_or_assign(200006, "<|start|>");
  names.insert_or_assign(200007, "<|end|>");
  names.insert_or_assign(200008, "<|message|>");
  names.insert_or_assign(200012, "<|call|>");
  names.insert_or_assign(200018, "<|endofprompt|>");
  TiktokenDefinition definition{o200k_pattern(), "the pattern of gpt-oss", {}};
  for (auto& [id, name] : names) definition.special_tokens.push_back(special(id, std::move(name)));
  // This one has two names.
  definition.special_tokens.push_back(special(200018, "<|reserved_200018|>"));
  return definition;
}

}  // namespace

std::vector<std::string> tiktoken_definition_files(const std::string& folder) {
  std::vector<std::string> files = tokenizer_config_files(folder);
  files.push_back(config_path(folder));
  return files;
}

TiktokenDefinition find_tiktoken_definition(const TiktokenSource& source, int64_t num_ranks) {
  const std::string folder = std::filesystem::path(source.path).parent_path().string();
  const std::string path = config_path(folder);
  std::error_code error;
  if (std::filesystem::exists(path, error)) return read_definition(path);
  if (source.model_type == "gpt_oss") return gpt_oss_definition();
  const TokenizerConfig config = read_tokenizer_config(folder);
  if (source.model_type == "kimi_k2" || config.tokenizer_class == "TikTokenTokenizer") {
    return kimi_definition(config, num_ranks, source.embedding_rows);
  }
  const std::string model =
      source.model_type.empty() ? "" : concat(" for the model_type ", printable(source.model_type));
  fail_input(source.path, ": how its words are cut is not known", model, "; expected ", path, ": ",
             kHelp);
}

}  // namespace switchyard
