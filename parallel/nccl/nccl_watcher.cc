#include "parallel/nccl/nccl_watcher.h"

#include <chrono>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/steady_seconds.h"

namespace switchyard {
namespace {

/// "rank 2" or "ranks 0, 2".
std::string text_of(const std::vector<int>& ranks) {
  if (ranks.empty()) return "the other ranks";
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); ++i) text += concat(i == 0 ? "" : ", ", ranks[i]);
  return text;
}

}  // namespace

std::string WatchedWork::text() const {
  return concat("'", label.text(), "' (", name_of(kind), " over NCCL)");
}

NcclWatcher::NcclWatcher(NcclHandle& handle, const CudaBackend& backend, double deadline_seconds,
                         OnFailure on_failure)
    : handle_(handle),
      backend_(backend),
      deadline_seconds_(deadline_seconds),
      on_failure_(std::move(on_failure)),
      thread_([this] { run(); }) {}

NcclWatcher::~NcclWatcher() {
  {
    const std::lock_guard lock(mutex_);
    must_stop_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

void NcclWatcher::begin_with(WatchedWork work) {
  const std::lock_guard lock(mutex_);
  entries_.push_back({std::move(work), {}});
}

void NcclWatcher::end_with(Event end) {
  const std::lock_guard lock(mutex_);
  entries_.back().end = std::move(end);
  entries_.back().has_end = true;
}

void NcclWatcher::run() {
  constexpr std::chrono::milliseconds kPeriod(20);
  backend_.choose();  // else asking for events would make a context on the first GPU
  for (;;) {
    std::string why;
    {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kPeriod, [this] { return must_stop_; });
      if (must_stop_) return;
      why = check();
    }
    if (why.empty()) continue;
    on_failure_(why);
    handle_.abort();
    return;
  }
}

std::string NcclWatcher::check() {
  while (!entries_.empty() && entries_.front().has_end && entries_.front().end.is_complete()) {
    last_done_ = entries_.front().work.text();
    ++num_done_;
    entries_.pop_front();
  }
  const std::string failure = handle_.failure();
  if (!failure.empty()) return concat("NCCL failed ", place_text(), ": ", failure);
  return entries_.empty() ? "" : lateness(entries_.front());
}

std::string NcclWatcher::lateness(Entry& entry) const {
  if (entry.since == 0.0) {
    if (entry.work.begin.is_complete()) entry.since = steady_seconds();
    return "";
  }
  const double deadline = deadline_of(entry.work.label.patience, deadline_seconds_);
  if (deadline <= 0.0 || steady_seconds() - entry.since <= deadline) return "";
  return concat("no end after ", deadline, " s ", place_text(), ", waiting for ",
                text_of(entry.work.peers),
                "; every rank that waits tells its own place, one that tells none has not come");
}

std::string NcclWatcher::place_text() const {
  const std::string place =
      entries_.empty() ? "outside of any exchange" : "in " + entries_.front().work.text();
  return num_done_ == 0
             ? place
             : concat(place, " (", num_done_, " have ended before, the last was ", last_done_, ")");
}

}  // namespace switchyard
