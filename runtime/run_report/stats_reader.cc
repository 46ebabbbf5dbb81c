#include <algorithm>
#include <limits>

#include "runtime/cache_simulation.h"
#include "runtime/checkpoint/untrusted_json.h"
#include "runtime/run_report/stats_file.h"
#include "runtime/run_report/stats_names.h"
#include "runtime/tokenizer/json/json_node.h"
#include "runtime/tokenizer/text_file.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxLayers = 1 << 16;   // as wide as the formats' own numbers need
constexpr int64_t kMaxExperts = 1 << 16;  // as validate() of a ModelConfig
/// The logs and, for 1,024 ranks with 61 layers and 256 experts between them, all else.
constexpr size_t kMaxValues = kMaxFileUses + (size_t{4} << 20);

template <typename Number>
std::vector<Number> numbers(const JsonNode& node, int64_t high) {
  const auto refuse = [&](size_t index) {
    node.refuse("its number ", index, " is not a whole number from 0 to ", high);
  };
  if (!node.value().is_array()) node.items();  // which says what is wrong
  std::vector<Number> list;
  for (const boost::json::value& item : node.value().get_array()) {
    const int64_t* number = item.if_int64();
    if (number == nullptr || *number < 0 || *number > high) refuse(list.size());
    list.push_back(static_cast<Number>(*number));
  }
  return list;
}

std::vector<int64_t> counts(const JsonNode& node, size_t size, std::string_view what) {
  std::vector<int64_t> list = numbers<int64_t>(node, kMaxCount);
  if (list.size() != size) {
    node.refuse("holds ", list.size(), " numbers; expected ", size, ", one for each ", what);
  }
  return list;
}

double seconds(const JsonNode& node) {
  const double number = node.number();
  if (number < 0.0) node.refuse("expected seconds, found ", number);
  return number;
}

template <typename Counts>
void read_counts(const JsonNode& node, Counts& counts) {
  for_each_count(counts, [&](std::string_view name, int64_t& count) {
    count = node.at(name).integer(0, kMaxCount);
  });
}

template <typename Value>
Value read_choice(const JsonNode& node, const Choices<Value>& choices) {
  try {
    return parse_choice(node.text(), choices);
  } catch (const BadValue& bad) {
    node.refuse("expected ", bad.what());
  }
}

LinkTraffic read_link(const JsonNode& node) {
  return {node.at("loads").integer(0, kMaxCount), node.at("bytes").integer(0, kMaxCount),
          seconds(node.at("seconds"))};
}

RunFacts read_run(const JsonNode& root) {
  RunFacts run;
  run.version = root.at("program_version").text();
  run.command = root.at("command").text();
  run.numerics = root.at("numerics").text();
  run.fingerprint = root.at("fingerprint").text();
  run.steps = root.at("steps").integer(0, kMaxCount);
  const JsonNode model = root.at("model");
  run.model = model.at("directory").text();
  run.family = model.at("family").text();
  run.moe_layers = numbers<int64_t>(model.at("moe_layers"), kMaxLayers);
  if (!std::ranges::is_sorted(run.moe_layers, std::less_equal<>())) {
    model.at("moe_layers").refuse("expected numbers that ascend");
  }
  run.num_experts = numbers<int64_t>(model.at("experts"), kMaxExperts);
  if (run.num_experts.size() != run.moe_layers.size()) {
    model.at("experts").refuse("expected a number for each of ", run.moe_layers.size(),
                               " MoE layers, found ", run.num_experts.size());
  }
  return run;
}

void read_layer(const JsonNode& node, int64_t num_experts, CacheStats& cache) {
  std::vector<int64_t> ids = numbers<int64_t>(node.at("expert"), num_experts - 1);
  std::vector<int64_t> sorted = ids;
  std::ranges::sort(sorted);
  if (std::ranges::adjacent_find(sorted) != sorted.end()) {
    node.at("expert").refuse("names an expert twice");
  }
  std::vector<ExpertAccount> experts(ids.size());
  for (const ExpertColumn& column : kExpertColumns) {
    const std::vector<int64_t> values = counts(node.at(column.name), ids.size(), "expert");
    for (size_t i = 0; i < values.size(); ++i) experts[i].*column.count = values[i];
  }
  for (const ExpertAccount& account : experts) {
    if (account.hits > account.uses) node.refuse("has more hits than uses of an expert");
  }
  cache.expert_ids.push_back(std::move(ids));
  cache.experts.push_back(std::move(experts));
}

CacheStats read_cache(const JsonNode& node, const RunFacts& run) {
  CacheStats cache;
  cache.policy = read_choice(node.at("policy"), cache_policy_names());
  cache.scope = read_choice(node.at("scope"), cache_scope_names());
  read_counts(node, cache);
  cache.stall_seconds = seconds(node.at("stall_seconds"));
  cache.pack_seconds = seconds(node.at("pack_seconds"));
  cache.files = read_link(node.at("files"));
  cache.host = read_link(node.at("host"));
  read_counts(node.at("predictions"), cache.predictions);
  const std::vector<JsonNode> layers = node.at("layers").items();
  if (!layers.empty() && layers.size() != run.moe_layers.size()) {
    node.at("layers").refuse("holds ", layers.size(), " layers; expected the model's ",
                             run.moe_layers.size(), " MoE layers, or none");
  }
  for (size_t i = 0; i < layers.size(); ++i) {
    const int64_t layer = layers[i].at("layer").integer(0, kMaxLayers);
    if (layer != run.moe_layers[i]) {
      layers[i].at("layer").refuse("expected MoE layer ", run.moe_layers[i]);
    }
    read_layer(layers[i], run.num_experts[i], cache);
  }
  cache.log = numbers<int32_t>(node.at("log"), std::numeric_limits<int32_t>::max());
  validate(use_log(cache), node.at("log").place());
  return cache;
}

RankStats read_rank(const JsonNode& node, const RunFacts& run) {
  RankStats stats;
  stats.host = node.at("host").text();
  read_counts(node, stats);
  stats.scheduled_idle = node.at("scheduled_idle").number();
  const JsonNode phases = node.at("seconds");
  for (size_t phase = 0; phase < static_cast<size_t>(Phase::kCount); ++phase) {
    const std::string_view name = name_of(static_cast<Phase>(phase));
    // Files of before steps were recorded have no graphs.
    const bool is_absent = static_cast<Phase>(phase) == Phase::kGraph && !phases.find(name);
    stats.seconds.push_back(is_absent ? 0.0 : seconds(phases.at(name)));
  }
  const size_t num_layers = run.moe_layers.size();
  stats.expert_rows = counts(node.at("expert_rows"), num_layers, "MoE layer");
  stats.choices = counts(node.at("choices"), num_layers, "MoE layer");
  stats.dropped = counts(node.at("dropped"), num_layers, "MoE layer");
  stats.cache = read_cache(node.at("cache"), run);
  return stats;
}

}  // namespace

StatsFile parse_stats(std::string_view text, const std::string& source) {
  const auto refuse = [&] {
    fail_input(source, ": is not a statistics file; expected one that --stats wrote, whose ",
               "\"format\" is \"", kStatsFormat, "\"");
  };
  // Lines of JSON and the like are better told apart before somebody looks for an error in them.
  if (text.find(kStatsFormat) == text.npos) refuse();
  JsonLimits limits;
  limits.max_values = kMaxValues;
  const boost::json::value value = parse_untrusted_json(text, source, limits);
  const JsonNode root(value, source + ":");
  const boost::json::value* format =
      value.is_object() ? value.get_object().if_contains("format") : nullptr;
  if (format == nullptr || *format != boost::json::string_view(kStatsFormat)) refuse();
  const int64_t version = root.at("format_version").integer(0, kMaxCount);
  if (version != kStatsVersion) {
    fail_input(source, ": is a statistics file of version ", version, "; this program reads ",
               "version ", kStatsVersion, ": use the one that wrote it, or run again");
  }
  StatsFile stats;
  stats.path = source;
  stats.run = read_run(root);
  for (const JsonNode& rank : root.at("ranks").items()) {
    stats.ranks.push_back(read_rank(rank, stats.run));
  }
  if (stats.ranks.empty()) root.at("ranks").refuse("expected at least one rank");
  return stats;
}

StatsFile read_stats_file(const std::string& path) {
  return parse_stats(read_text_file(path, "expected a file that --stats wrote"), path);
}

std::vector<std::vector<int64_t>> uses_by_expert(const StatsFile& stats) {
  std::vector<std::vector<int64_t>> uses;
  for (const int64_t count : stats.run.num_experts) {
    uses.emplace_back(static_cast<size_t>(count), 0);
  }
  int64_t total = 0;
  for (const RankStats& rank : stats.ranks) {
    const CacheStats& cache = rank.cache;
    total += total_of(cache).uses;
    for (size_t layer = 0; layer < cache.experts.size(); ++layer) {
      for (size_t i = 0; i < cache.experts[layer].size(); ++i) {
        uses[layer][static_cast<size_t>(cache.expert_ids[layer][i])] +=
            cache.experts[layer][i].uses;
      }
    }
  }
  if (total == 0) {
    fail_input(stats.path, ": records no use of an expert; expected the statistics of a run of a ",
               "mixture-of-experts model");
  }
  return uses;
}

std::vector<std::vector<int64_t>> read_hot_uses(const std::string& path,
                                                const ModelConfig& config) {
  const StatsFile stats = read_stats_file(path);
  RunFacts expected;
  set_shape(config, expected);
  const auto shape = [](const RunFacts& facts) {
    const auto [least, most] = std::ranges::minmax(facts.num_experts);
    return concat(facts.moe_layers.size(), " MoE layers of ", least,
                  least == most ? "" : concat(" to ", most), " experts");
  };
  std::vector<std::vector<int64_t>> uses = uses_by_expert(stats);
  if (stats.run.moe_layers != expected.moe_layers ||
      stats.run.num_experts != expected.num_experts) {
    fail_input(path, ": was written by a run of ", stats.run.model, " with ", shape(stats.run),
               "; this model's are not the same",
               expected.moe_layers.empty() ? "" : concat(" (", shape(expected), ")"),
               ": give statistics of this model");
  }
  return uses;
}

}  // namespace switchyard
