#include "runtime/run_stats.h"

#include <algorithm>
#include <numeric>

#include "kernels/base/byte_codec.h"
#include "kernels/base/byte_size.h"
#include "kernels/base/text_table.h"

namespace switchyard {
namespace {

constexpr size_t kNumPhases = static_cast<size_t>(Phase::kCount);

std::string encode(const RankStats& stats) {
  ByteWriter writer;
  writer.put_string(stats.host);
  writer.put(stats.num_experts);
  writer.put(stats.weight_bytes);
  writer.put(stats.planned_bytes);
  writer.put(stats.peak_bytes);
  writer.put(stats.bytes_read);
  writer.put(stats.rows);
  writer.put(stats.rounds);
  writer.put(stats.scheduled_idle);
  writer.put_vector(stats.expert_rows);
  writer.put_vector(stats.choices);
  writer.put_vector(stats.dropped);
  writer.put_vector(stats.seconds);
  put_cache_stats(writer, stats.cache);
  return writer.bytes();
}

RankStats decode(const std::string& bytes) {
  ByteReader reader(bytes);
  RankStats stats;
  stats.host = reader.get_string();
  stats.num_experts = reader.get<int64_t>();
  stats.weight_bytes = reader.get<int64_t>();
  stats.planned_bytes = reader.get<int64_t>();
  stats.peak_bytes = reader.get<int64_t>();
  stats.bytes_read = reader.get<int64_t>();
  stats.rows = reader.get<int64_t>();
  stats.rounds = reader.get<int64_t>();
  stats.scheduled_idle = reader.get<double>();
  stats.expert_rows = reader.get_vector<int64_t>();
  stats.choices = reader.get_vector<int64_t>();
  stats.dropped = reader.get_vector<int64_t>();
  stats.seconds = reader.get_vector<double>();
  stats.cache = get_cache_stats(reader);
  return stats;
}

std::string rank_table(const std::vector<RankStats>& ranks) {
  std::vector<std::string> header = {"rank",  "experts",    "weights",    "program and plan",
                                     "peak",  "files read", "token rows", "expert rows",
                                     "rounds"};
  for (size_t phase = 0; phase < kNumPhases; ++phase) {
    header.push_back(concat(name_of(static_cast<Phase>(phase)), " s"));
  }
  TextTable table(header);
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const RankStats& stats = ranks[rank];
    const int64_t expert_rows =
        std::accumulate(stats.expert_rows.begin(), stats.expert_rows.end(), int64_t{0});
    std::vector<std::string> row = {std::to_string(rank),
                                    std::to_string(stats.num_experts),
                                    format_byte_size(stats.weight_bytes),
                                    format_byte_size(stats.planned_bytes),
                                    format_byte_size(stats.peak_bytes),
                                    format_byte_size(stats.bytes_read),
                                    std::to_string(stats.rows),
                                    std::to_string(expert_rows),
                                    std::to_string(stats.rounds)};
    for (const double seconds : stats.seconds) row.push_back(format_fixed(seconds, 2));
    table.add_row(row);
  }
  return table.text();
}

std::string percent(double share) { return concat(format_fixed(100.0 * share, 1), " %"); }

/// Of what came over a link while something came.
std::string speed(const LinkTraffic& link) {
  return link.seconds > 0.0 ? format_fixed(link.gigabytes_per_second(), 2) : "-";
}

std::string cache_table(const std::vector<RankStats>& ranks) {
  TextTable table({"rank", "slots", "experts", "budget", "hit rate", "uniform", "loads",
                   "from files", "GB/s", "from host", "GB/s", "stall s", "pack s", "precision",
                   "recall", "sweeps"});
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const CacheStats& cache = ranks[rank].cache;
    const ExpertAccount total = total_of(cache);
    const PredictionCounts& p = cache.predictions;
    table.add_row(
        {std::to_string(rank), std::to_string(cache.num_slots), std::to_string(num_experts(cache)),
         format_byte_size(cache.budget_bytes), percent(share_of(total.hits, total.uses)),
         percent(uniform_hit_rate(cache.num_slots, num_experts(cache))),
         std::to_string(total.loads), format_byte_size(cache.files.bytes), speed(cache.files),
         format_byte_size(cache.host.bytes), speed(cache.host),
         format_fixed(cache.stall_seconds, 2), format_fixed(cache.pack_seconds, 2),
         p.predicted > 0 ? percent(share_of(p.correct, p.predicted)) : "-",
         p.used > 0 ? percent(share_of(p.correct, p.used)) : "-", std::to_string(cache.sweeps)});
  }
  return table.text();
}

/// What the ranks' caches did; empty where every expert had its slot.
std::string cache_text(const std::vector<RankStats>& ranks) {
  const bool is_paged = std::ranges::any_of(ranks, [](const RankStats& stats) {
    return stats.cache.num_slots < num_experts(stats.cache);
  });
  if (!is_paged) return "";
  std::string text = concat("\nexperts in fewer slots than there are, beside the hit rate that ",
                            "uniform routing would have\n", cache_table(ranks));
  double pack_seconds = 0.0;
  for (const RankStats& stats : ranks) pack_seconds += stats.cache.pack_seconds;
  if (pack_seconds > 0.0) {
    text += concat("packing experts on their way from the files took ",
                   format_fixed(pack_seconds, 2), " s of the loading threads' time; files that ",
                   "'switchyard convert' wrote need none\n");
  }
  return text;
}

/// Sum over ranks of entry `layer`.
int64_t sum_of(const std::vector<RankStats>& ranks, std::vector<int64_t> RankStats::*values,
               size_t layer) {
  int64_t sum = 0;
  for (const RankStats& stats : ranks) sum += (stats.*values)[layer];
  return sum;
}

std::string layer_table(const std::vector<RankStats>& ranks, const std::vector<int>& moe_layers) {
  TextTable table({"MoE layer", "max rows", "mean rows", "max/mean", "choices", "dropped", "%"});
  for (size_t layer = 0; layer < moe_layers.size(); ++layer) {
    int64_t max = 0;
    for (const RankStats& stats : ranks) max = std::max(max, stats.expert_rows[layer]);
    const int64_t sum = sum_of(ranks, &RankStats::expert_rows, layer);
    const double mean = static_cast<double>(sum) / static_cast<double>(ranks.size());
    const int64_t choices = sum_of(ranks, &RankStats::choices, layer);
    const int64_t dropped = sum_of(ranks, &RankStats::dropped, layer);
    const double percent = 100.0 * static_cast<double>(dropped) / static_cast<double>(choices);
    table.add_row({std::to_string(moe_layers[layer]), std::to_string(max), format_fixed(mean, 1),
                   mean > 0 ? format_fixed(static_cast<double>(max) / mean, 2) : "-",
                   std::to_string(choices), std::to_string(dropped),
                   choices > 0 ? format_fixed(percent, 1) : "-"});
  }
  return table.text();
}

}  // namespace

std::vector<RankStats> gather_stats(const RankStats& mine, ControlChannel& control) {
  std::vector<RankStats> ranks;
  for (const std::string& bytes :
       control.gather(encode(mine), 0, {.phase = "gather of statistics"})) {
    ranks.push_back(decode(bytes));
  }
  return ranks;
}

std::string stats_text(const std::vector<RankStats>& ranks, const std::vector<int>& moe_layers) {
  std::string text = rank_table(ranks);
  text += concat("\nby the schedule, a rank waits for the busiest in ",
                 format_fixed(100.0 * ranks.at(0).scheduled_idle, 1),
                 " % of a step's time outside the experts\n");
  text += cache_text(ranks);
  if (!moe_layers.empty()) {
    text += "\nrows that the ranks' experts received, and choices beyond the capacity, by layer\n" +
            layer_table(ranks, moe_layers);
  }
  return text;
}

}  // namespace switchyard
