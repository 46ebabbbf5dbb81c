#include "runtime/cache_stats.h"

namespace switchyard {

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
