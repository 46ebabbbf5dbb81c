#include <algorithm>
#include <numeric>

#include "runtime/cache_simulation.h"
#include "runtime/run_report/html_text.h"
#include "runtime/run_report/run_pictures.h"
#include "runtime/run_report/svg.h"

namespace switchyard {
namespace {

/// Numbers of the logs that are simulated, of all ranks together: a second or two of work.
constexpr size_t kMaxSimulated = size_t{1} << 18;
constexpr int64_t kMostSizes = 16;

constexpr double kLeft = 56.0;
constexpr double kTop = 16.0;
constexpr double kPlotWidth = 560.0;
constexpr double kPlotHeight = 300.0;
constexpr double kBottom = 48.0;

struct CurvePoint {
  double part = 0.0;  // slots of all experts
  double rate = 0.0;  // hits of all uses
};

struct Curve {
  const char* name;
  const char* css_class;
  std::vector<CurvePoint> points;  // from no slots to as many as experts
};

/// The logs of the ranks that have one, cut to what can be simulated in a moment.
struct Logs {
  std::vector<UseLog> ranks;
  bool is_cut = false;
};

Logs collect_logs(const StatsFile& stats) {
  Logs logs;
  size_t num_logs = 0;
  for (const RankStats& rank : stats.ranks) num_logs += rank.cache.log.empty() ? 0 : 1;
  for (const RankStats& rank : stats.ranks) {
    if (rank.cache.log.empty()) continue;
    UseLog uses = use_log(rank.cache);
    const size_t before = uses.log.size();
    shorten_log(uses.log, kMaxSimulated / num_logs);
    logs.is_cut = logs.is_cut || uses.log.size() < before;
    if (!uses.log.empty()) logs.ranks.push_back(std::move(uses));
  }
  return logs;
}

int64_t experts_of(const UseLog& uses) {
  return std::accumulate(uses.num_experts.begin(), uses.num_experts.end(), int64_t{0});
}

/// Sizes that are told apart: no more than a rank has experts.
int64_t count_sizes(const Logs& logs) {
  int64_t most = 1;
  for (const UseLog& uses : logs.ranks) most = std::max(most, experts_of(uses));
  return std::min(kMostSizes, most);
}

Curve simulate(const Logs& logs, Curve curve, SimulatedPolicy policy, CacheScope scope) {
  const int64_t num_sizes = count_sizes(logs);
  for (int64_t size = 0; size <= num_sizes; ++size) {
    SimulatedHits all;
    int64_t slots = 0;
    int64_t experts = 0;
    for (const UseLog& uses : logs.ranks) {
      SimulatedCache cache{policy, scope, (experts_of(uses) * size + num_sizes / 2) / num_sizes};
      if (policy == SimulatedPolicy::kStatic) cache.earlier_uses = count_uses(uses);
      const SimulatedHits hits = simulate_cache(uses, cache);
      all.uses += hits.uses;
      all.hits += hits.hits;
      slots += cache.num_slots;
      experts += experts_of(uses);
    }
    curve.points.push_back({share_of(slots, experts), share_of(all.hits, all.uses)});
  }
  return curve;
}

std::vector<Curve> make_curves(const Logs& logs, CacheScope scope) {
  std::vector<Curve> curves = {
      simulate(logs, {"optimum (knows the future)", "k0", {}}, SimulatedPolicy::kOptimum, scope),
      simulate(logs, {"static (by this run's own uses)", "k1", {}}, SimulatedPolicy::kStatic,
               scope),
      simulate(logs, {"lfu", "k2", {}}, SimulatedPolicy::kLfu, scope),
      simulate(logs, {"lru", "k3", {}}, SimulatedPolicy::kLru, scope),
      {"uniform routing", "k4", {}}};
  for (const CurvePoint& point : curves.front().points) {
    curves.back().points.push_back({point.part, point.part});
  }
  return curves;
}

double x_of(double part) { return kLeft + kPlotWidth * part; }
double y_of(double rate) { return kTop + kPlotHeight * (1.0 - rate); }

void draw_axes(Svg& svg) {
  constexpr int kParts = 8;
  for (int i = 0; i <= kParts; ++i) {
    const double part = static_cast<double>(i) / kParts;
    svg.line(x_of(part), y_of(0.0), x_of(part), y_of(1.0), "g");
    svg.text(x_of(part), y_of(0.0) + 16.0, format_place(100.0 * part), TextAnchor::kMiddle, "m");
  }
  for (int i = 0; i <= 5; ++i) {
    const double rate = i / 5.0;
    svg.line(x_of(0.0), y_of(rate), x_of(1.0), y_of(rate), "g");
    svg.text(kLeft - 8.0, y_of(rate) + 4.0, format_place(100.0 * rate), TextAnchor::kEnd, "m");
  }
  svg.text(x_of(0.5), y_of(0.0) + 36.0, "slots, % of the experts", TextAnchor::kMiddle);
  svg.upright_text(14.0, y_of(0.5), "hit rate, %");
}

void draw_curve(const Curve& curve, size_t number, Svg& svg) {
  std::vector<std::pair<double, double>> places;
  for (const CurvePoint& point : curve.points) {
    places.emplace_back(x_of(point.part), y_of(point.rate));
  }
  svg.polyline(places, concat("k ", curve.css_class));
  for (const CurvePoint& point : curve.points) {
    svg.circle(x_of(point.part), y_of(point.rate), 3.0, concat("d ", curve.css_class),
               concat(curve.name, ", ", format_percent(point.part),
                      " slots: ", format_percent(point.rate), " hits"));
  }
  const double y = kTop + 12.0 + 22.0 * static_cast<double>(number);
  const double x = x_of(1.0) + 20.0;
  const std::pair<double, double> sample[] = {{x, y}, {x + 28.0, y}};
  svg.polyline(sample, concat("k ", curve.css_class));
  svg.circle(x + 14.0, y, 3.0, concat("d ", curve.css_class));
  svg.text(x + 36.0, y + 4.0, curve.name);
}

void draw_run(const StatsFile& stats, size_t number, Svg& svg) {
  ExpertAccount all;
  int64_t slots = 0;
  int64_t experts = 0;
  for (const RankStats& rank : stats.ranks) {
    all = total_of({all, total_of(rank.cache)});
    slots += rank.cache.num_slots;
    experts += num_experts(rank.cache);
  }
  const double part = uniform_hit_rate(slots, experts);
  const double rate = share_of(all.hits, all.uses);
  const auto star = [&](double x, double y) {
    svg.path(concat("M", format_place(x - 7.0), " ", format_place(y), "h14M", format_place(x), " ",
                    format_place(y - 7.0), "v14"),
             "star");
  };
  star(x_of(part), y_of(rate));
  const double y = kTop + 12.0 + 22.0 * static_cast<double>(number);
  star(x_of(1.0) + 34.0, y);
  svg.text(x_of(1.0) + 56.0, y + 4.0,
           concat("this run: ", format_percent(rate), " at ", format_percent(part)));
}

}  // namespace

std::string draw_hit_rates(const StatsFile& stats) {
  const Logs logs = collect_logs(stats);
  if (logs.ranks.empty()) return "";
  const CacheScope scope = stats.ranks.front().cache.scope;
  constexpr double kLegend = 280.0;
  Svg svg(x_of(1.0) + kLegend, y_of(0.0) + kBottom, "hit rates by the number of slots");
  draw_axes(svg);
  const std::vector<Curve> curves = make_curves(logs, scope);
  for (size_t i = curves.size(); i-- > 0;) draw_curve(curves[i], i, svg);
  draw_run(stats, curves.size(), svg);
  std::string note = concat("Simulated on the uses that the run logged",
                            logs.is_cut ? " first (the rest is left out for speed)" : "",
                            ", beginning with empty slots, which ",
                            scope == CacheScope::kGlobal ? "all layers share" : "belong to layers",
                            "; without loading ahead. The run itself began with filled ones.");
  return svg.finish() + "<p class=\"note\">" + escape_html(note) + "</p>\n";
}

}  // namespace switchyard
