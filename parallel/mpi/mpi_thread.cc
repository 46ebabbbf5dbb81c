#include "parallel/mpi/mpi_thread.h"

#include <sys/prctl.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "parallel/mpi/message_plan.h"
#include "parallel/mpi/mpi_operation.h"

namespace switchyard {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

}  // namespace

MpiThread::MpiThread() : thread_([this] { serve(); }) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return is_started_; });
  if (start_error_ == nullptr) return;
  lock.unlock();
  thread_.join();
  std::rethrow_exception(start_error_);
}

MpiThread::~MpiThread() {
  try {
    // MPI_Finalize would spin until the last rank comes; this barrier sleeps.
    HostCollective barrier;
    barrier.send.resize(static_cast<size_t>(size_));
    run({plan_messages(barrier, rank_), 0, "the end of the job", 0.0, 1}, [] {});
  } catch (const std::exception& e) {
    log_line(LogLevel::kError, e.what());
    abort(static_cast<int>(ErrorKind::kPeer));
  }
  {
    const std::lock_guard lock(mutex_);
    must_stop_ = true;
    wake_.notify_one();
  }
  thread_.join();
}

void MpiThread::run(const MpiTransfer& transfer, const std::function<void()>& meanwhile) {
  MpiOperation operation(transfer);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(&operation);
    wake_.notify_one();
  }
  meanwhile();
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return operation.is_done; });
  if (operation.error != nullptr) std::rethrow_exception(operation.error);
}

void MpiThread::abort(int exit_status) {
  std::fflush(stderr);
  {
    const std::lock_guard lock(mutex_);
    if (!abort_status_.has_value()) abort_status_ = exit_status;
    wake_.notify_one();
  }
  // The MPI thread may be stuck inside MPI. A process that ends without MPI_Finalize ends the job.
  std::this_thread::sleep_for(seconds(5));
  std::_Exit(exit_status);
}

void MpiThread::abort_soon(const std::string& why) noexcept {
  const std::lock_guard lock(mutex_);
  if (abort_at_.has_value()) return;
  abort_reason_ = why;
  abort_at_ = Clock::now() + seconds(2);
  wake_.notify_one();
}

void MpiThread::serve() {
  try {
    start_mpi();
  } catch (...) {
    report_start(std::current_exception());
    return;
  }
  // Linux lengthens sleeps by up to 50 us to save power: more than the pauses here. With 4 ranks on
  // 2 cores this and the yield make a barrier 75 to 120 us instead of 390 to 540.
  prctl(PR_SET_TIMERSLACK, 1000);
  report_start(nullptr);
  while (take_work()) {
    poll();
    check_time();
  }
  MPI_Comm_free(&comm_);
  MPI_Finalize();
}

void MpiThread::start_mpi() {
  int level = MPI_THREAD_SINGLE;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread");
  if (level < MPI_THREAD_FUNNELED) {
    fail_usage(
        "this MPI library does not allow a process with threads (MPI_THREAD_FUNNELED); "
        "use one that does");
  }
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm_), "MPI_Comm_dup");
  MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
  MPI_Comm_rank(comm_, &rank_);
  MPI_Comm_size(comm_, &size_);
  int* max_tag = nullptr;
  int has_max_tag = 0;
  MPI_Comm_get_attr(comm_, MPI_TAG_UB, &max_tag, &has_max_tag);
  max_tag_ = has_max_tag != 0 ? *max_tag : 32767;  // what the standard guarantees
}

void MpiThread::report_start(std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  is_started_ = true;
  start_error_ = std::move(error);
  done_.notify_all();
}

/// None for 100 us, then an eighth of the time without news, 20 to 200 us: at most an eighth is
/// lost, and a waiting rank costs little.
MpiThread::Clock::duration MpiThread::pause() const {
  const Clock::duration quiet = Clock::now() - last_news_;
  if (quiet < microseconds(100)) return Clock::duration::zero();
  return std::clamp<Clock::duration>(quiet / 8, microseconds(20), microseconds(200));
}

/// Pauses, then starts what has come. False when the thread must stop.
bool MpiThread::take_work() {
  const Clock::duration time = pause();
  // Ranks that share cores would otherwise keep each other from answering for the whole 100 us.
  if (time == Clock::duration::zero()) std::this_thread::yield();
  std::deque<MpiOperation*> started;
  {
    std::unique_lock lock(mutex_);
    const auto has_news = [&] {
      return !queue_.empty() || must_stop_ || abort_status_.has_value();
    };
    if (!active_.empty()) {
      if (time > Clock::duration::zero()) wake_.wait_for(lock, time, has_news);
    } else {
      while (!has_news() && !abort_at_.has_value()) wake_.wait(lock);
      if (abort_at_.has_value()) wake_.wait_until(lock, *abort_at_, has_news);
    }
    if (abort_status_.has_value()) end_job(*abort_status_);
    if (must_stop_) return false;
    started.swap(queue_);
  }
  for (MpiOperation* operation : started) {
    last_news_ = Clock::now();
    active_.push_back(operation);
    try {
      operation->start(comm_, last_news_);
    } catch (...) {
      operation->error = std::current_exception();
    }
  }
  return true;
}

void MpiThread::poll() {
  for (auto it = active_.begin(); it != active_.end();) {
    MpiOperation& operation = **it;
    try {
      if (operation.error == nullptr && operation.poll()) last_news_ = Clock::now();
    } catch (...) {
      operation.error = std::current_exception();
    }
    if (operation.error == nullptr && !operation.is_complete()) {
      ++it;
      continue;
    }
    it = active_.erase(it);
    if (operation.error != nullptr) operation.abandon();
    finish(operation);
  }
}

void MpiThread::finish(MpiOperation& operation) {
  const std::lock_guard lock(mutex_);
  operation.is_done = true;
  done_.notify_all();
}

void MpiThread::check_time() {
  const Clock::time_point now = Clock::now();
  for (const MpiOperation* operation : active_) {
    if (!operation->is_late(now)) continue;
    log_line(LogLevel::kError, operation->lateness());
    end_job(static_cast<int>(ErrorKind::kPeer));
  }
  const std::lock_guard lock(mutex_);
  if (abort_at_.has_value() && now >= *abort_at_) {
    log_line(LogLevel::kError, abort_reason_);
    end_job(static_cast<int>(ErrorKind::kPeer));
  }
}

void MpiThread::end_job(int exit_status) {
  std::fflush(stderr);
  MPI_Abort(MPI_COMM_WORLD, exit_status);
  std::_Exit(exit_status);
}

}  // namespace switchyard
