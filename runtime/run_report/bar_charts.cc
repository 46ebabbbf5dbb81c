#include <algorithm>

#include "kernels/base/byte_size.h"
#include "runtime/run_report/html_text.h"
#include "runtime/run_report/run_pictures.h"
#include "runtime/run_report/svg.h"

namespace switchyard {
namespace {

/// One colour of all bars.
struct Part {
  std::string name;
  std::string css_class;
};

/// Bars of parts, one a rank.
struct BarChart {
  const char* title;
  std::vector<Part> parts;
  std::vector<std::vector<double>> values;  // [ranks][parts]
  std::string (*format)(double value);
};

constexpr double kLeft = 72.0;
constexpr double kPlotWidth = 760.0;
constexpr double kBarHeight = 16.0;
constexpr double kBarStep = 21.0;
constexpr double kTop = 30.0;

double sum_of(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value;
  return sum;
}

void draw_bar(const BarChart& chart, size_t rank, double longest, Svg& svg) {
  const double y = kTop + kBarStep * static_cast<double>(rank);
  svg.text(kLeft - 8.0, y + kBarHeight - 4.0, concat("rank ", rank), TextAnchor::kEnd, "m");
  double x = kLeft;
  for (size_t part = 0; part < chart.parts.size(); ++part) {
    const double value = chart.values[rank][part];
    const double width = longest > 0.0 ? kPlotWidth * value / longest : 0.0;
    if (width <= 0.0) continue;
    svg.rect({x, y, width, kBarHeight}, chart.parts[part].css_class,
             concat("rank ", rank, ", ", chart.parts[part].name, ": ", chart.format(value)));
    x += width;
  }
  svg.text(x + 6.0, y + kBarHeight - 4.0, chart.format(sum_of(chart.values[rank])),
           TextAnchor::kStart, "m");
}

std::string draw(const BarChart& chart) {
  double longest = 0.0;
  for (const std::vector<double>& values : chart.values) {
    longest = std::max(longest, sum_of(values));
  }
  const double height = kTop + kBarStep * static_cast<double>(chart.values.size()) + 6.0;
  Svg svg(kLeft + kPlotWidth + 90.0, height, chart.title);
  double x = kLeft;
  for (const Part& part : chart.parts) x = svg.legend_entry(x, 4.0, part.css_class, part.name);
  for (size_t rank = 0; rank < chart.values.size(); ++rank) draw_bar(chart, rank, longest, svg);
  svg.line(kLeft, kTop - 4.0, kLeft, height - 4.0, "a");
  return svg.finish();
}

}  // namespace

std::string draw_phases(const StatsFile& stats) {
  BarChart chart{"seconds of each rank by phase", {}, {}, format_seconds};
  for (size_t phase = 0; phase < static_cast<size_t>(Phase::kCount); ++phase) {
    const std::string name(name_of(static_cast<Phase>(phase)));
    chart.parts.push_back({name, "p-" + name});
  }
  for (const RankStats& rank : stats.ranks) chart.values.push_back(rank.seconds);
  return draw(chart);
}

std::string draw_traffic(const StatsFile& stats) {
  BarChart chart{"bytes of experts that each rank loaded",
                 {{"from files", "p-file"}, {"from host memory", "p-host"}},
                 {},
                 [](double bytes) { return format_byte_size(static_cast<int64_t>(bytes)); }};
  double all = 0.0;
  for (const RankStats& rank : stats.ranks) {
    chart.values.push_back(
        {static_cast<double>(rank.cache.files.bytes), static_cast<double>(rank.cache.host.bytes)});
    all += sum_of(chart.values.back());
  }
  return all > 0.0 ? draw(chart) : "";
}

}  // namespace switchyard
