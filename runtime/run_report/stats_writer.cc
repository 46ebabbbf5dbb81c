#include "runtime/cache_simulation.h"
#include "runtime/run_report/json_builder.h"
#include "runtime/run_report/stats_file.h"
#include "runtime/run_report/stats_names.h"

namespace switchyard {
namespace {

template <typename Counts>
void add_counts(const Counts& counts, JsonBuilder& json) {
  for_each_count(counts, [&](std::string_view name, int64_t count) { json.member(name, count); });
}

void add_link(std::string_view name, const LinkTraffic& link, JsonBuilder& json) {
  json.key(name).begin_object();
  json.member("loads", link.loads).member("bytes", link.bytes).member("seconds", link.seconds);
  json.member("gb_per_second", link.gigabytes_per_second()).end_object();
}

void add_layer(const CacheStats& cache, size_t moe_layer, int64_t layer, JsonBuilder& json) {
  const std::vector<ExpertAccount>& experts = cache.experts[moe_layer];
  const ExpertAccount total = total_of(experts);
  json.break_line().begin_object();
  json.member("layer", layer).member("hit_rate", share_of(total.hits, total.uses));
  json.member("expert", cache.expert_ids[moe_layer]);
  for (const ExpertColumn& column : kExpertColumns) {
    std::vector<int64_t> counts;
    for (const ExpertAccount& account : experts) counts.push_back(account.*column.count);
    json.member(column.name, counts);
  }
  std::vector<int64_t> misses;
  for (const ExpertAccount& account : experts) misses.push_back(account.misses());
  json.member("misses", misses).end_object();
}

void add_cache(const CacheStats& cache, const RunFacts& run, JsonBuilder& json) {
  const ExpertAccount total = total_of(cache);
  json.break_line().key("cache").begin_object();
  json.member("policy", name_of(cache.policy, cache_policy_names()));
  json.member("scope", name_of(cache.scope, cache_scope_names()));
  add_counts(cache, json);
  json.member("hit_rate", share_of(total.hits, total.uses));
  json.member("uniform_hit_rate", uniform_hit_rate(cache.num_slots, num_experts(cache)));
  json.member("stall_seconds", cache.stall_seconds).member("pack_seconds", cache.pack_seconds);
  json.break_line();
  add_link("files", cache.files, json);
  add_link("host", cache.host, json);
  const PredictionCounts& predictions = cache.predictions;
  json.key("predictions").begin_object();
  add_counts(predictions, json);
  json.member("precision", share_of(predictions.correct, predictions.predicted));
  json.member("recall", share_of(predictions.correct, predictions.used)).end_object();
  json.break_line().key("layers").begin_array();
  for (size_t i = 0; i < cache.experts.size(); ++i) add_layer(cache, i, run.moe_layers[i], json);
  json.end_array();
  json.break_line().member("log", cache.log).end_object();
}

void add_rank(const RankStats& stats, size_t rank, const RunFacts& run, JsonBuilder& json) {
  json.break_line().begin_object();
  json.member("rank", rank).member("host", stats.host);
  add_counts(stats, json);
  json.member("scheduled_idle", stats.scheduled_idle);
  json.break_line().key("seconds").begin_object();
  for (size_t phase = 0; phase < stats.seconds.size(); ++phase) {
    json.member(name_of(static_cast<Phase>(phase)), stats.seconds[phase]);
  }
  json.end_object();
  json.break_line().member("expert_rows", stats.expert_rows);
  json.member("choices", stats.choices).member("dropped", stats.dropped);
  add_cache(stats.cache, run, json);
  json.end_object();
}

}  // namespace

void set_shape(const ModelConfig& config, RunFacts& facts) {
  for (const int layer : config.moe_layers()) {
    facts.num_experts.push_back(
        config.router_of(static_cast<int>(facts.moe_layers.size())).num_experts);
    facts.moe_layers.push_back(layer);
  }
}

void shorten_log(CacheStats& cache, int num_ranks) {
  shorten_log(cache.log, kMaxFileUses / static_cast<size_t>(num_ranks));
}

std::string format_stats(const StatsFile& stats) {
  const RunFacts& run = stats.run;
  JsonBuilder json;
  json.begin_object().member("format", kStatsFormat).member("format_version", kStatsVersion);
  json.break_line().member("program_version", run.version).member("command", run.command);
  json.member("numerics", run.numerics).member("fingerprint", run.fingerprint);
  json.break_line().key("model").begin_object();
  json.member("directory", run.model).member("family", run.family);
  json.member("moe_layers", run.moe_layers).member("experts", run.num_experts).end_object();
  json.break_line().member("steps", run.steps);
  json.break_line().key("ranks").begin_array();
  for (size_t rank = 0; rank < stats.ranks.size(); ++rank) {
    add_rank(stats.ranks[rank], rank, run, json);
  }
  return json.end_array().end_object().text() + "\n";
}

}  // namespace switchyard
