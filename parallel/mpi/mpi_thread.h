// The one thread of the process that calls MPI.
#pragma once

#include <mpi.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

namespace switchyard {

class MpiOperation;
struct MpiTransfer;

/// Starts MPI on a thread of its own, moves any number of transfers at once, and ends MPI. The
/// thread polls: hard for the first 100 us without news, then with pauses, so that ranks that share
/// cores do not starve each other; with nothing to move it sleeps. One in the life of a process,
/// because MPI starts only once.
class MpiThread {
 public:
  /// Blocks until MPI is up. Throws Error(kUsage) if the library cannot serve one thread among
  /// several.
  MpiThread();
  MpiThread(const MpiThread&) = delete;
  MpiThread& operator=(const MpiThread&) = delete;
  /// Waits for all ranks to come here, then ends MPI.
  ~MpiThread();

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Tags are 0 ... max_tag().
  int max_tag() const { return max_tag_; }

  /// Groups whose tags must not meet have different numbers. The lowest that this process has not
  /// used; and the end of what it has.
  int64_t next_group() const { return next_group_; }
  void set_next_group(int64_t group) { next_group_ = group; }

  /// Starts the transfer, runs `meanwhile` on the calling thread, and blocks until it is complete.
  /// Throws Error(kPeer) with MPI's reason. A transfer past its deadline ends the job.
  void run(const MpiTransfer& transfer, const std::function<void()>& meanwhile);

  /// Ends the job. Any thread.
  [[noreturn]] void abort(int exit_status);
  /// Ends the job with this message in two seconds, unless it ends before: the host thread may know
  /// a better reason.
  void abort_soon(const std::string& why) noexcept;

 private:
  using Clock = std::chrono::steady_clock;

  void serve();
  void start_mpi();
  void report_start(std::exception_ptr error);
  bool take_work();
  void poll();
  void finish(MpiOperation& operation);
  void check_time();
  Clock::duration pause() const;
  [[noreturn]] void end_job(int exit_status);

  int rank_ = 0;
  int size_ = 0;
  int max_tag_ = 0;
  int64_t next_group_ = 1;  // 0 is the MpiThread's own

  std::mutex mutex_;
  std::condition_variable wake_;  // of the thread
  std::condition_variable done_;  // of those who wait for MPI to be up or for an operation
  std::deque<MpiOperation*> queue_;
  bool is_started_ = false;
  std::exception_ptr start_error_;
  bool must_stop_ = false;
  std::optional<int> abort_status_;
  std::optional<Clock::time_point> abort_at_;
  std::string abort_reason_;

  // Of the thread alone.
  MPI_Comm comm_ = MPI_COMM_NULL;  // our own, so that no other traffic meets ours
  std::list<MpiOperation*> active_;
  Clock::time_point last_news_;

  std::thread thread_;
};

}  // namespace switchyard
