#include "parallel/thread_communicator.h"

#include <chrono>
#include <exception>
#include <mutex>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/mix_bits.h"
#include "parallel/communicator_host.h"
#include "parallel/communicator_rendezvous.h"

namespace switchyard {
namespace {

/// Lets the ranks come in ever different orders: of eight collectives five start at once, two
/// yield, one sleeps for up to 100 us, longer than any of them takes.
void delay(uint64_t seed, int job_rank, int64_t sequence) {
  if (seed == 0) return;
  const uint64_t bits = mix_bits(mix_bits(mix_bits(seed) + static_cast<uint64_t>(job_rank)) +
                                 static_cast<uint64_t>(sequence));
  const uint64_t choice = bits % 8;
  if (choice == 0) {
    std::this_thread::sleep_for(std::chrono::microseconds((bits >> 8) % 100));
  } else if (choice <= 2) {
    std::this_thread::yield();
  }
}

class ThreadCommunicator final : public HostCommunicator {
 public:
  ThreadCommunicator(std::shared_ptr<RendezvousGroup> group, int rank, Backend& backend,
                     uint64_t seed)
      : HostCommunicator(backend, rank, group->size(), TransportReach::kAnyMemory),
        group_(std::move(group)),
        seed_(seed) {}
  ~ThreadCommunicator() override { group_->leave(rank()); }

  std::string_view transport() const override { return "threads"; }

  std::unique_ptr<Communicator> split(int color, int key) override {
    const int64_t sequence = take_sequence();
    const std::vector<int> members = members_of(exchange_split(sequence, {color, key}), color);
    int new_rank = 0;
    while (members[static_cast<size_t>(new_rank)] != rank()) ++new_rank;
    return std::make_unique<ThreadCommunicator>(group_->child(sequence, color, members), new_rank,
                                                backend(), seed_ == 0 ? 0 : mix_bits(seed_));
  }

  void abort(int exit_status) override {
    group_->world().fail(
        concat("rank ", group_->job_rank(rank()), " ended the job with exit status ", exit_status));
  }

 protected:
  void run(const HostCollective& collective) override {
    delay(seed_, group_->job_rank(rank()), collective.sequence);
    group_->run(rank(), backend(), collective);
  }

  void skip(const HostCollective& collective) noexcept override {
    group_->world().fail(concat("rank ", group_->job_rank(rank()), " cannot take part in ",
                                collective.text(), ": its stream failed before"));
  }

 private:
  std::shared_ptr<RendezvousGroup> group_;
  uint64_t seed_;
};

/// The errors of a job's ranks, in the order they came.
class FirstError {
 public:
  /// Keeps the current exception if it tells more than what is kept.
  void note(const std::exception_ptr& error) {
    const std::lock_guard lock(mutex_);
    const bool is_echo = is_peer_error(error);
    if (error_ == nullptr || (is_echo_ && !is_echo)) {
      error_ = error;
      is_echo_ = is_echo;
    }
  }
  void rethrow() const {
    if (error_ != nullptr) std::rethrow_exception(error_);
  }

 private:
  static bool is_peer_error(const std::exception_ptr& error) {
    try {
      std::rethrow_exception(error);
    } catch (const Error& e) {
      return e.kind() == ErrorKind::kPeer;
    } catch (...) {
      return false;
    }
  }

  std::mutex mutex_;
  std::exception_ptr error_;
  bool is_echo_ = false;
};

}  // namespace

ThreadWorld::ThreadWorld(int size, const ThreadWorldOptions& options) : options_(options) {
  if (size < 1 || size > kMaxRanks) {
    fail_usage("a job of ", size, " ranks as threads; expected 1 to ", kMaxRanks);
  }
  std::vector<int> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  group_ = std::make_shared<RendezvousGroup>(
      std::make_shared<RendezvousWorld>(size, options.deadline_seconds), std::move(ranks));
}

std::unique_ptr<Communicator> ThreadWorld::communicator(int rank, Backend& backend) {
  return std::make_unique<ThreadCommunicator>(group_, rank, backend, options_.seed);
}

void ThreadWorld::fail(const std::string& why) { group_->world().fail(why); }

void run_ranks(int size, const ThreadWorldOptions& options, const BackendOptions& backend_options,
               const std::function<void(Backend& backend, Communicator& world)>& body) {
  ThreadWorld world(size, options);
  FirstError error;
  const auto run_rank = [&](int rank) {
    std::unique_ptr<Backend> backend;
    std::unique_ptr<Communicator> communicator;
    try {
      BackendOptions own_options = backend_options;
      own_options.strict_seed = mix_bits(backend_options.strict_seed + static_cast<uint64_t>(rank));
      backend = make_backend(own_options);
      communicator = world.communicator(rank, *backend);
      body(*backend, *communicator);
    } catch (const std::exception& e) {
      // Read before it is given away: whoever replaces it may end it.
      const std::string why = concat("rank ", rank, " failed: ", e.what());
      error.note(std::current_exception());
      // Also for a rank without a communicator, which would be waited for until the deadline.
      world.fail(why);
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < size; ++rank) threads.emplace_back(run_rank, rank);
  }
  error.rethrow();
}

}  // namespace switchyard
