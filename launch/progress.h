// Progress of a run on standard error.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "runtime/progress.h"

namespace switchyard {

/// Where progress is read.
enum class ProgressStyle {
  kTerminal,  ///< one line that is redrawn, at most 5 times a second
  kLog,       ///< a line after 2 seconds, then one every 10
};

/// Shows progress in one of the styles. The clock and the output are given, so that every text can
/// be tested.
class ProgressDisplay final : public ProgressSink {
 public:
  using Clock = std::function<double()>;                  // seconds, from any origin
  using Write = std::function<void(const std::string&)>;  // one line (kLog) or a redraw

  ProgressDisplay(ProgressStyle style, Clock clock, Write write);

  void start() override;
  void update(const Progress& progress) override;
  void finish(const Progress& progress) override;

 private:
  std::string bar(const Progress& progress, double elapsed) const;
  std::string line(const Progress& progress, double elapsed) const;

  ProgressStyle style_;
  Clock clock_;
  Write write_;
  double start_;
  double next_;  // when the next text is due
};

/// Progress on standard error in the given form; shows nothing below log level info.
std::unique_ptr<ProgressSink> make_progress(ProgressForm form);

/// "9.1 s", "12 s", "2:05 min" or "1:02:05 h".
std::string format_duration(double seconds);

}  // namespace switchyard
