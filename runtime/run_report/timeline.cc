#include <algorithm>
#include <array>
#include <cmath>

#include "kernels/base/byte_size.h"
#include "kernels/base/text_table.h"
#include "runtime/phase_clock.h"
#include "runtime/run_report/html_text.h"
#include "runtime/run_report/run_pictures.h"
#include "runtime/run_report/svg.h"

namespace switchyard {
namespace {

constexpr size_t kMaxWindowEvents = 3000;  // what a person may still tell apart, and a page holds
constexpr size_t kMaxWindowRanks = 16;
constexpr int kOverviewSteps = 400;

constexpr double kLeft = 72.0;
constexpr double kPlotWidth = 1000.0;
constexpr double kRight = 16.0;
constexpr double kTop = 30.0;
constexpr double kAxis = 30.0;
constexpr double kOverviewHeight = 10.0;

constexpr size_t kNumPhases = static_cast<size_t>(Phase::kCount);

/// A colour of the style sheet.
std::string class_of(const TraceEvent& event) {
  switch (event.track) {
    case TraceTrack::kCompute:
      for (size_t phase = 0; phase < kNumPhases; ++phase) {
        if (name_of(static_cast<Phase>(phase)) == event.name) return "p-" + event.name;
      }
      return "p-other";
    case TraceTrack::kWait:
      return "p-wait";
    case TraceTrack::kLoad:
      break;
  }
  return event.name == "host" ? "p-host" : "p-file";
}

std::string hover_of(const TraceEvent& event) {
  std::string text = event.track == TraceTrack::kLoad ? "load from " + event.name : event.name;
  if (event.layer >= 0) text += concat(", layer ", event.layer);
  if (event.expert >= 0) text += concat(", expert ", event.expert);
  const double seconds = event.end - event.begin;
  text += concat(": ", format_seconds(seconds), " from ", format_seconds(event.begin));
  if (event.bytes > 0) {
    text += concat(", ", format_byte_size(event.bytes));
    if (seconds > 0.0) {
      text +=
          concat(", ", format_fixed(static_cast<double>(event.bytes) / seconds / 1e9, 2), " GB/s");
    }
  }
  return text;
}

/// Times to places on a drawing.
struct TimeScale {
  double begin = 0.0;
  double end = 1.0;

  double x_of(double time) const {
    const double part = (time - begin) / std::max(end - begin, 1e-12);
    return kLeft + kPlotWidth * std::clamp(part, 0.0, 1.0);
  }
};

TimeScale whole_run(const TraceFile& trace) {
  TimeScale scale{0.0, 0.0};
  for (const RankTrace& rank : trace.ranks) {
    for (const TraceEvent& event : rank.events) scale.end = std::max(scale.end, event.end);
  }
  return scale;
}

size_t count_events(const TraceFile& trace, const TimeScale& window) {
  size_t count = 0;
  for (size_t rank = 0; rank < std::min(trace.ranks.size(), kMaxWindowRanks); ++rank) {
    for (const TraceEvent& event : trace.ranks[rank].events) {
      count += event.end > window.begin && event.begin < window.end ? 1 : 0;
    }
  }
  return count;
}

/// The longest window around the run's middle that is not too full.
TimeScale choose_window(const TraceFile& trace, const TimeScale& all) {
  TimeScale window = all;
  const double middle = (all.begin + all.end) / 2.0;
  double too_long = all.end - all.begin;
  if (count_events(trace, window) <= kMaxWindowEvents) return window;
  double fits = 0.0;
  constexpr int kHalvings = 40;
  for (int i = 0; i < kHalvings; ++i) {
    const double length = (fits + too_long) / 2.0;
    window = {middle - length / 2.0, middle + length / 2.0};
    (count_events(trace, window) <= kMaxWindowEvents ? fits : too_long) = length;
  }
  return {middle - fits / 2.0, middle + fits / 2.0};
}

void draw_time_axis(const TimeScale& scale, double top, double bottom, Svg& svg) {
  const double length = scale.end - scale.begin;
  const double step = tick_step(length, 10);
  const double unit = length < 2e-3 ? 1e-6 : length < 2.0 ? 1e-3 : 1.0;
  for (double time = std::ceil(scale.begin / step) * step; time <= scale.end; time += step) {
    svg.line(scale.x_of(time), top, scale.x_of(time), bottom, "g");
    svg.text(scale.x_of(time), bottom + 14.0, format_place(std::round(time / unit * 1e4) / 1e4),
             TextAnchor::kMiddle, "m");
  }
  svg.text(kLeft + kPlotWidth, bottom + 27.0,
           unit == 1.0    ? "seconds since the first step"
           : unit == 1e-3 ? "milliseconds since the first step"
                          : "microseconds since the first step",
           TextAnchor::kEnd);
}

/// In each of equal steps of time, what the compute stream did for longest; "" for nothing.
std::vector<std::string> main_phases(const RankTrace& rank, const TimeScale& scale) {
  std::vector<std::array<double, kNumPhases>> seconds(kOverviewSteps);
  const double step = (scale.end - scale.begin) / kOverviewSteps;
  for (const TraceEvent& event : rank.events) {
    if (event.track != TraceTrack::kCompute || !(step > 0.0)) continue;
    size_t phase = 0;
    while (phase < kNumPhases && name_of(static_cast<Phase>(phase)) != event.name) ++phase;
    if (phase == kNumPhases) continue;
    const auto step_of = [&](double time) {
      return std::clamp(static_cast<int>((time - scale.begin) / step), 0, kOverviewSteps - 1);
    };
    for (int i = step_of(event.begin); i <= step_of(event.end); ++i) {
      const double from = std::max(event.begin, scale.begin + step * i);
      const double to = std::min(event.end, scale.begin + step * (i + 1));
      seconds[static_cast<size_t>(i)][phase] += std::max(0.0, to - from);
    }
  }
  std::vector<std::string> phases;
  for (const std::array<double, kNumPhases>& of_step : seconds) {
    const auto most = std::ranges::max_element(of_step);
    const auto phase = static_cast<Phase>(most - of_step.begin());
    phases.emplace_back(*most > 0.0 ? name_of(phase) : "");
  }
  return phases;
}

void draw_overview_rank(const RankTrace& rank, const TimeScale& scale, double y, Svg& svg) {
  const std::vector<std::string> phases = main_phases(rank, scale);
  const double width = kPlotWidth / kOverviewSteps;
  for (size_t i = 0; i < phases.size();) {
    size_t end = i;
    while (end < phases.size() && phases[end] == phases[i]) ++end;
    if (!phases[i].empty()) {
      svg.rect({kLeft + width * static_cast<double>(i), y, width * static_cast<double>(end - i),
                kOverviewHeight},
               "p-" + phases[i], phases[i]);
    }
    i = end;
  }
}

std::string draw_overview(const TraceFile& trace, const TimeScale& all, const TimeScale& window) {
  const double step = kOverviewHeight + 2.0;
  const double bottom = kTop + step * static_cast<double>(trace.ranks.size());
  Svg svg(kLeft + kPlotWidth + kRight, bottom + kAxis, "the whole run");
  double x = kLeft;
  for (size_t phase = 0; phase < kNumPhases; ++phase) {
    const std::string name(name_of(static_cast<Phase>(phase)));
    x = svg.legend_entry(x, 2.0, "p-" + name, name);
  }
  x = svg.legend_entry(x, 2.0, "p-wait", "wait for an expert");
  x = svg.legend_entry(x, 2.0, "p-file", "load from file");
  svg.legend_entry(x, 2.0, "p-host", "from host");
  draw_time_axis(all, kTop, bottom, svg);
  const size_t label_step = trace.ranks.size() > 24 ? 8 : 1;
  for (size_t rank = 0; rank < trace.ranks.size(); ++rank) {
    const double y = kTop + step * static_cast<double>(rank);
    if (rank % label_step == 0) {
      svg.text(kLeft - 8.0, y + 9.0, concat("rank ", rank), TextAnchor::kEnd, "m");
    }
    draw_overview_rank(trace.ranks[rank], all, y, svg);
  }
  const double left = all.x_of(window.begin);
  svg.rect({left, kTop - 3.0, std::max(2.0, all.x_of(window.end) - left), bottom - kTop + 4.0},
           "window", "the window below");
  return svg.finish();
}

/// The lines of one rank, downwards: compute, then waits and loads where there are any.
struct RankLines {
  double compute_y = 0.0;
  double wait_y = 0.0;
  double load_y = 0.0;
  double bottom = 0.0;

  static constexpr double kComputeHeight = 16.0;
  static constexpr double kHeight = 8.0;

  RankLines(const RankTrace& rank, double y) : compute_y(y) {
    bool waits = false;
    int lanes = 0;
    for (const TraceEvent& event : rank.events) {
      if (event.track == TraceTrack::kWait) waits = true;
      if (event.track == TraceTrack::kLoad) lanes = std::max(lanes, event.lane + 1);
    }
    wait_y = y + kComputeHeight + 1.0;
    load_y = wait_y + (waits ? kHeight + 1.0 : 0.0);
    bottom = load_y + (kHeight + 1.0) * lanes + 8.0;
  }

  SvgBox box_of(const TraceEvent& event, const TimeScale& scale) const {
    const double x = scale.x_of(event.begin);
    const double width = std::max(0.3, scale.x_of(event.end) - x);
    switch (event.track) {
      case TraceTrack::kCompute:
        return {x, compute_y, width, kComputeHeight};
      case TraceTrack::kWait:
        return {x, wait_y, width, kHeight};
      case TraceTrack::kLoad:
        break;
    }
    return {x, load_y + (kHeight + 1.0) * event.lane, width, kHeight};
  }
};

std::string draw_window(const TraceFile& trace, const TimeScale& window) {
  const size_t num_ranks = std::min(trace.ranks.size(), kMaxWindowRanks);
  std::vector<RankLines> lines;
  double bottom = 8.0;
  for (size_t rank = 0; rank < num_ranks; ++rank) {
    lines.emplace_back(trace.ranks[rank], bottom);
    bottom = lines.back().bottom;
  }
  Svg svg(kLeft + kPlotWidth + kRight, bottom + kAxis, "a window of the run");
  draw_time_axis(window, 4.0, bottom, svg);
  size_t left = kMaxWindowEvents;
  for (size_t rank = 0; rank < num_ranks; ++rank) {
    svg.text(kLeft - 8.0, lines[rank].compute_y + 12.0, concat("rank ", rank), TextAnchor::kEnd,
             "m");
    for (const TraceEvent& event : trace.ranks[rank].events) {
      if (event.end <= window.begin || event.begin >= window.end) continue;
      if (left == 0) break;
      --left;
      svg.rect(lines[rank].box_of(event, window), class_of(event), hover_of(event));
    }
  }
  std::string text = svg.finish();
  if (trace.ranks.size() > num_ranks) {
    text += concat("<p class=\"note\">The first ", num_ranks, " of ", trace.ranks.size(),
                   " ranks.</p>\n");
  }
  if (left == 0) {
    text += concat("<p class=\"note\">Only ", kMaxWindowEvents, " events are drawn: give a ",
                   "shorter window.</p>\n");
  }
  return text;
}

}  // namespace

std::string draw_timeline(const TraceFile& trace, const std::optional<TimeWindow>& window) {
  const TimeScale all = whole_run(trace);
  const TimeScale shown =
      window ? TimeScale{window->first, window->second} : choose_window(trace, all);
  std::string text =
      "<h3>The whole run</h3>\n<p class=\"note\">What each rank did for the "
      "longest in each of 400 steps of time; the frame is the window below.</p>\n";
  text += draw_overview(trace, all, shown);
  text += concat("<h3>", format_seconds(shown.begin), " to ", format_seconds(shown.end),
                 "</h3>\n<p class=\"note\">Of each rank the phases of its computing, below them "
                 "its waits for experts and one line for each loading thread.</p>\n");
  text += draw_window(trace, shown);
  int64_t dropped = 0;
  for (const RankTrace& rank : trace.ranks) dropped += rank.num_dropped;
  if (dropped > 0) {
    text += concat("<p class=\"note\">The ranks had no room for ", format_count(dropped),
                   " later events, which are missing.</p>\n");
  }
  return text;
}

}  // namespace switchyard
