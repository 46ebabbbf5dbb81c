#include "launch/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <utility>

#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/base/text_table.h"

namespace switchyard {
namespace {

constexpr double kRedrawSeconds = 0.2;
constexpr double kFirstLineSeconds = 2.0;
constexpr double kLineSeconds = 10.0;
constexpr int kBarColumns = 24;

class NoProgress : public ProgressSink {
 public:
  void start() override {}
  void update(const Progress&) override {}
  void finish(const Progress&) override {}
};

/// Part of the run that is done, 0 to 1; negative: not known. Tokens take the time, not requests.
double fraction_of(const Progress& progress) {
  if (progress.total_bytes > 0) {
    return std::min(
        1.0, static_cast<double>(progress.bytes_done) / static_cast<double>(progress.total_bytes));
  }
  if (progress.total_requests < 0) return -1.0;
  if (progress.total_tokens > 0) {
    return std::min(1.0, static_cast<double>(progress.tokens_done) /
                             static_cast<double>(progress.total_tokens));
  }
  if (progress.total_requests == 0) return 1.0;
  return std::min(1.0, static_cast<double>(progress.requests_done) /
                           static_cast<double>(progress.total_requests));
}

std::string counts(const Progress& progress) {
  if (progress.total_bytes >= 0) {
    const std::string activity = progress.activity;
    return concat(activity, activity.empty() ? "" : " ", format_byte_size(progress.bytes_done),
                  " of ", format_byte_size(progress.total_bytes));
  }
  const std::string total =
      progress.total_requests < 0 ? "" : concat(" of ", progress.total_requests);
  return concat(progress.requests_done, total, " ", progress.items);
}

std::string rate(const Progress& progress, double elapsed) {
  if (progress.total_bytes >= 0) {
    const double bytes = static_cast<double>(progress.bytes_done);
    return concat(format_fixed(elapsed > 0 ? bytes / elapsed * 1e-9 : 0.0, 2), " GB/s");
  }
  const double per_second = elapsed > 0 ? static_cast<double>(progress.tokens_done) / elapsed : 0.0;
  return concat(format_fixed(per_second, per_second < 10 ? 1 : 0), " tokens/s");
}

/// ", 1:05 min left", or nothing while it cannot be known.
std::string time_left(double fraction, double elapsed) {
  if (fraction <= 0 || fraction >= 1) return "";
  return concat(", ", format_duration(elapsed / fraction - elapsed), " left");
}

std::string percentage(double fraction) {
  return concat(static_cast<int>(std::floor(fraction * 100)), " %");
}

void write_terminal(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::string format_duration(double seconds) {
  // 9.95 is where one decimal would print as "10.0".
  if (seconds < 9.95) return concat(format_fixed(std::max(0.0, seconds), 1), " s");
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  char text[64];
  if (whole < 60) {
    std::snprintf(text, sizeof text, "%lld s", static_cast<long long>(whole));
  } else if (whole < 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld min", static_cast<long long>(whole / 60),
                  static_cast<long long>(whole % 60));
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld h", static_cast<long long>(whole / 3600),
                  static_cast<long long>(whole / 60 % 60), static_cast<long long>(whole % 60));
  }
  return text;
}

ProgressDisplay::ProgressDisplay(ProgressStyle style, Clock clock, Write write)
    : style_(style), clock_(std::move(clock)), write_(std::move(write)) {
  ProgressDisplay::start();
}

void ProgressDisplay::start() {
  start_ = clock_();
  next_ = start_ + (style_ == ProgressStyle::kLog ? kFirstLineSeconds : 0.0);
}

void ProgressDisplay::update(const Progress& progress) {
  const double now = clock_();
  if (now < next_) return;
  const bool is_log = style_ == ProgressStyle::kLog;
  next_ = now + (is_log ? kLineSeconds : kRedrawSeconds);
  write_(is_log ? line(progress, now - start_) : bar(progress, now - start_));
}

void ProgressDisplay::finish(const Progress& progress) {
  const double elapsed = clock_() - start_;
  const std::string what = progress.total_bytes >= 0
                               ? concat(progress.bytes_done, " bytes")
                               : concat(progress.requests_done, " ", progress.items, ", ",
                                        progress.tokens_done, " tokens");
  const std::string text =
      concat("done: ", what, " in ", format_duration(elapsed), ", ", rate(progress, elapsed));
  write_(style_ == ProgressStyle::kLog ? text : concat("\r", text, "\x1b[K\n"));
}

/// A redraw ends at the line's start, so that a log line in between overwrites it.
std::string ProgressDisplay::bar(const Progress& progress, double elapsed) const {
  const double fraction = fraction_of(progress);
  std::string text = "\r";
  if (fraction >= 0) {
    const int filled = static_cast<int>(fraction * kBarColumns);
    text += concat("[", std::string(filled, '='), std::string(kBarColumns - filled, ' '), "] ",
                   percentage(fraction), "  ");
  }
  return text + concat(counts(progress), ", ", rate(progress, elapsed), ", ",
                       format_duration(elapsed), time_left(fraction, elapsed), "\x1b[K\r");
}

std::string ProgressDisplay::line(const Progress& progress, double elapsed) const {
  const double fraction = fraction_of(progress);
  return concat("progress: ", fraction >= 0 ? percentage(fraction) + ", " : "", counts(progress),
                ", ", rate(progress, elapsed), ", ", format_duration(elapsed),
                time_left(fraction, elapsed));
}

std::unique_ptr<ProgressSink> make_progress(ProgressForm form) {
  if (form == ProgressForm::kNone || log_level() < LogLevel::kInfo) {
    return std::make_unique<NoProgress>();
  }
  const bool is_terminal = isatty(STDERR_FILENO) == 1;
  if (form == ProgressForm::kBar || (form == ProgressForm::kAuto && is_terminal)) {
    return std::make_unique<ProgressDisplay>(ProgressStyle::kTerminal, steady_seconds,
                                             write_terminal);
  }
  return std::make_unique<ProgressDisplay>(
      ProgressStyle::kLog, steady_seconds,
      [](const std::string& text) { log_line(LogLevel::kInfo, text); });
}

}  // namespace switchyard
