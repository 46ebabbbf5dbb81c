#include "runtime/run_report/report_page.h"

#include <algorithm>
#include <set>

#include "kernels/base/byte_size.h"
#include "kernels/base/text_table.h"
#include "runtime/run_report/html_text.h"
#include "runtime/run_report/page_style.h"
#include "runtime/run_report/stats_names.h"

namespace switchyard {
namespace {

std::string heading(int level, const std::string& words, const std::string& id = "") {
  return concat("<h", level, id.empty() ? "" : concat(" id=\"", id, "\""), ">", escape_html(words),
                "</h", level, ">\n");
}

std::string note(const std::string& words) {
  return concat("<p class=\"note\">", escape_html(words), "</p>\n");
}

/// What all ranks of a run did together.
struct RunTotals {
  ExpertAccount experts;
  int64_t slots = 0;
  int64_t num_experts = 0;
  int64_t rows = 0;
  int64_t loaded_bytes = 0;
  double stall_seconds = 0.0;  // of the rank that waited longest
};

RunTotals totals_of(const StatsFile& stats) {
  RunTotals totals;
  for (const RankStats& rank : stats.ranks) {
    const CacheStats& cache = rank.cache;
    totals.experts = total_of({totals.experts, total_of(cache)});
    totals.slots += cache.num_slots;
    totals.num_experts += num_experts(cache);
    totals.rows += rank.rows;
    totals.loaded_bytes += cache.files.bytes + cache.host.bytes;
    totals.stall_seconds = std::max(totals.stall_seconds, cache.stall_seconds);
  }
  return totals;
}

std::string policy_text(const CacheStats& cache) {
  return concat(name_of(cache.policy, cache_policy_names()), ", ",
                name_of(cache.scope, cache_scope_names()));
}

/// A share, or "-" of nothing.
std::string share_text(int64_t part, int64_t whole) {
  return whole == 0 ? "-" : format_percent(share_of(part, whole));
}

std::string overview_table(const std::vector<StatsFile>& runs) {
  std::vector<std::vector<std::string>> rows;
  for (const StatsFile& run : runs) {
    const RunTotals totals = totals_of(run);
    rows.push_back({run.path, run.run.command, run.run.model, std::to_string(run.ranks.size()),
                    format_count(run.run.steps), format_count(totals.rows),
                    policy_text(run.ranks.front().cache), format_count(totals.slots),
                    format_count(totals.num_experts),
                    share_text(totals.experts.hits, totals.experts.uses),
                    share_text(std::min(totals.slots, totals.num_experts), totals.num_experts),
                    format_byte_size(totals.loaded_bytes), format_fixed(totals.stall_seconds, 2)});
  }
  return html_table({"file", "command", "model", "ranks", "steps", "token rows", "policy", "slots",
                     "experts", "hit rate", "uniform", "loaded", "longest stall, s"},
                    rows);
}

std::string facts_table(const StatsFile& stats) {
  const RunFacts& run = stats.run;
  std::set<std::string> hosts;
  for (const RankStats& rank : stats.ranks) hosts.insert(rank.host);
  const std::vector<std::vector<std::string>> rows = {
      {"model", run.model},
      {"family", run.family},
      {"MoE layers", std::to_string(run.moe_layers.size())},
      {"checkpoint", run.fingerprint},
      {"numerics", run.numerics},
      {"program", concat(run.version, ", ", run.command)},
      {"steps", format_count(run.steps)},
      {"ranks",
       concat(stats.ranks.size(), " on ", hosts.size(), hosts.size() == 1 ? " host" : " hosts")}};
  return html_table({"", ""}, rows);
}

std::string memory_table(const StatsFile& stats) {
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < stats.ranks.size(); ++i) {
    const RankStats& rank = stats.ranks[i];
    rows.push_back({std::to_string(i), rank.host, format_count(rank.num_experts),
                    format_byte_size(rank.weight_bytes), format_byte_size(rank.planned_bytes),
                    format_byte_size(rank.peak_bytes), format_byte_size(rank.bytes_read),
                    format_count(rank.rows), format_count(rank.rounds)});
  }
  return html_table({"rank", "host", "experts", "weights", "program and plan", "peak", "files read",
                     "token rows", "rounds"},
                    rows);
}

std::string speed_text(const LinkTraffic& link) {
  return link.seconds > 0.0 ? format_fixed(link.gigabytes_per_second(), 2) : "-";
}

std::string cache_table(const StatsFile& stats) {
  std::vector<std::vector<std::string>> rows;
  for (size_t i = 0; i < stats.ranks.size(); ++i) {
    const CacheStats& cache = stats.ranks[i].cache;
    const ExpertAccount total = total_of(cache);
    const PredictionCounts& p = cache.predictions;
    const int64_t experts = num_experts(cache);
    rows.push_back({std::to_string(i), policy_text(cache), format_count(cache.num_slots),
                    format_count(experts), share_text(total.hits, total.uses),
                    share_text(std::min(cache.num_slots, experts), experts),
                    format_count(total.loads), format_byte_size(cache.files.bytes),
                    speed_text(cache.files), format_byte_size(cache.host.bytes),
                    speed_text(cache.host), format_fixed(cache.stall_seconds, 2),
                    format_fixed(cache.pack_seconds, 2), share_text(p.correct, p.predicted),
                    share_text(p.correct, p.used), format_byte_size(p.wasted_bytes),
                    format_count(cache.sweeps)});
  }
  return html_table(
      {"rank", "policy", "slots", "experts", "hit rate", "uniform", "loads", "from files", "GB/s",
       "from host", "GB/s", "stall, s", "packing, s", "precision", "recall", "wasted", "sweeps"},
      rows);
}

std::string layer_table(const StatsFile& stats) {
  std::vector<std::vector<std::string>> rows;
  for (size_t layer = 0; layer < stats.run.moe_layers.size(); ++layer) {
    ExpertAccount total;
    int64_t most = 0;
    for (const RankStats& rank : stats.ranks) {
      if (rank.cache.experts.empty()) continue;
      total = total_of({total, total_of(rank.cache.experts[layer])});
      for (const ExpertAccount& account : rank.cache.experts[layer]) {
        most = std::max(most, account.rows);
      }
    }
    const int64_t experts = stats.run.num_experts[layer];
    const double mean = share_of(total.rows, experts);
    rows.push_back({std::to_string(stats.run.moe_layers[layer]), format_count(experts),
                    format_count(total.uses), format_count(total.rows),
                    mean > 0.0 ? format_fixed(static_cast<double>(most) / mean, 2) : "-",
                    share_text(total.hits, total.uses), format_count(total.loads),
                    format_count(total.prefetches),
                    share_text(total.prefetch_hits, total.prefetches)});
  }
  return html_table({"layer", "experts", "uses", "rows", "busiest expert, x mean", "hit rate",
                     "loads", "ahead", "of these used"},
                    rows);
}

/// A drawing under its heading; nothing where there is none.
std::string picture(const char* title, const std::string& drawing) {
  return drawing.empty() ? "" : heading(3, title) + "<div class=\"scroll\">" + drawing + "</div>\n";
}

std::string run_section(const StatsFile& stats, size_t number) {
  std::string out = concat("<section>\n", heading(2, stats.path, concat("run", number)));
  out += facts_table(stats);
  out += heading(3, "Ranks") + memory_table(stats);
  out += picture("Where the time went", draw_phases(stats));
  if (stats.run.moe_layers.empty()) return out + note("The model has no experts.") + "</section>\n";
  out += heading(3, "Experts in slots");
  out += note(
      "Uniform is the hit rate that routing without locality would have; what is beyond "
      "it is what the cache is good for.");
  out += cache_table(stats);
  out += picture("What was loaded", draw_traffic(stats));
  const std::string heat_map = draw_heat_map(stats);
  if (heat_map.empty()) return out + note("No use of an expert was recorded.") + "</section>\n";
  out += picture("Uses of every expert", heat_map);
  out += note("White lines are borders between ranks. The pointer shows an expert's numbers.");
  out += picture("Hit rate by cache size", draw_hit_rates(stats));
  out += "<details><summary>MoE layers</summary>\n" + layer_table(stats) + "</details>\n";
  return out + "</section>\n";
}

std::string trace_section(const TraceFile& trace, size_t number, const std::vector<StatsFile>& runs,
                          const std::optional<TimeWindow>& window) {
  std::string out = concat("<section>\n", heading(2, trace.path, concat("trace", number)));
  const bool is_known = std::ranges::any_of(
      runs, [&](const StatsFile& run) { return run.run.fingerprint == trace.fingerprint; });
  out += note(concat("Trace of a run with checkpoint ", trace.fingerprint,
                     is_known || runs.empty() ? "" : ", which is that of none of the runs above"));
  return out + "<div class=\"scroll\">" + draw_timeline(trace, window) + "</div>\n</section>\n";
}

}  // namespace

std::string format_report_page(const std::vector<StatsFile>& runs,
                               const std::vector<TraceFile>& traces,
                               const std::optional<TimeWindow>& window) {
  std::string out = concat(
      "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" "
      "lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta "
      "name=\"viewport\" content=\"width=device-width\"/>\n<title>Switchyard "
      "runs</title>\n<style>",
      kPageStyle, "</style>\n</head>\n<body>\n<h1>Switchyard runs</h1>\n");
  if (!runs.empty()) out += overview_table(runs);
  std::set<std::string> checkpoints;
  for (const StatsFile& run : runs) checkpoints.insert(run.run.fingerprint);
  if (checkpoints.size() > 1) {
    out += note(concat("These are runs of ", checkpoints.size(),
                       " checkpoints: their numbers are not to be compared as if of one."));
  }
  for (size_t i = 0; i < runs.size(); ++i) out += run_section(runs[i], i);
  for (size_t i = 0; i < traces.size(); ++i) out += trace_section(traces[i], i, runs, window);
  return out + "</body>\n</html>\n";
}

}  // namespace switchyard
