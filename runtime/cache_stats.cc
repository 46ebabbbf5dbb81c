#include "runtime/cache_stats.h"

#include <algorithm>

namespace switchyard {
namespace {

void add(const ExpertAccount& account, ExpertAccount& total) {
  total.uses += account.uses;
  total.rows += account.rows;
  total.hits += account.hits;
  total.loads += account.loads;
  total.prefetches += account.prefetches;
  total.prefetch_hits += account.prefetch_hits;
}

}  // namespace

ExpertAccount total_of(const std::vector<ExpertAccount>& experts) {
  ExpertAccount total;
  for (const ExpertAccount& account : experts) add(account, total);
  return total;
}

ExpertAccount total_of(const CacheStats& stats) {
  ExpertAccount total;
  for (const std::vector<ExpertAccount>& layer : stats.experts) add(total_of(layer), total);
  return total;
}

int64_t num_experts(const CacheStats& stats) {
  int64_t count = 0;
  for (const std::vector<ExpertAccount>& layer : stats.experts) {
    count += static_cast<int64_t>(layer.size());
  }
  return count;
}

double share_of(int64_t part, int64_t whole) {
  return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
}

double uniform_hit_rate(int64_t num_slots, int64_t num_experts) {
  return std::min(1.0, share_of(num_slots, num_experts));
}

void put_cache_stats(ByteWriter& writer, const CacheStats& stats) {
  writer.put(stats.policy);
  writer.put(stats.scope);
  writer.put(stats.num_slots);
  writer.put(stats.slot_bytes);
  writer.put(stats.budget_bytes);
  writer.put(stats.host_slots);
  writer.put(static_cast<int64_t>(stats.experts.size()));
  for (size_t layer = 0; layer < stats.experts.size(); ++layer) {
    writer.put_vector(stats.expert_ids[layer]);
    writer.put_vector(stats.experts[layer]);
  }
  writer.put(stats.files);
  writer.put(stats.host);
  writer.put(stats.pack_seconds);
  writer.put(stats.stall_seconds);
  writer.put(stats.sweeps);
  writer.put(stats.layers_run);
  writer.put(stats.predictions);
  writer.put_vector(stats.log);
}

CacheStats get_cache_stats(ByteReader& reader) {
  CacheStats stats;
  stats.policy = reader.get<CachePolicy>();
  stats.scope = reader.get<CacheScope>();
  stats.num_slots = reader.get<int64_t>();
  stats.slot_bytes = reader.get<int64_t>();
  stats.budget_bytes = reader.get<int64_t>();
  stats.host_slots = reader.get<int64_t>();
  for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
    stats.expert_ids.push_back(reader.get_vector<int64_t>());
    stats.experts.push_back(reader.get_vector<ExpertAccount>());
  }
  stats.files = reader.get<LinkTraffic>();
  stats.host = reader.get<LinkTraffic>();
  stats.pack_seconds = reader.get<double>();
  stats.stall_seconds = reader.get<double>();
  stats.sweeps = reader.get<int64_t>();
  stats.layers_run = reader.get<int64_t>();
  stats.predictions = reader.get<PredictionCounts>();
  stats.log = reader.get_vector<int32_t>();
  return stats;
}

}  // namespace switchyard
