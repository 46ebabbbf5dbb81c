#include "parallel/mpi/mpi_communicator.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "parallel/communicator_host.h"
#include "parallel/mpi/message_plan.h"
#include "parallel/mpi/mpi_operation.h"
#include "parallel/mpi/mpi_thread.h"

namespace switchyard {
namespace {

/// A group's tags: the upper bits of MPI's range are its number, the lower ones count its
/// collectives and wrap around. At least 32 groups of 1,024 (the standard's 15 bits); Open MPI's
/// 31 bits give 1,024 groups of 2 M. Messages of equal tag between two ranks keep their order.
class TagRange {
 public:
  TagRange(int max_tag, int64_t group) : group_(group) {
    int bits = 1;
    while (bits < 31 && (int64_t{2} << bits) - 1 <= max_tag) ++bits;
    const int group_bits = bits / 3;
    counter_bits_ = bits - group_bits;
    if (group >= int64_t{1} << group_bits) {
      fail_resource("the job has more than ", (1 << group_bits) - 1,
                    " communicators; this MPI library's tags allow no more");
    }
  }
  int tag(int64_t sequence) const {
    const int64_t counter = sequence & ((int64_t{1} << counter_bits_) - 1);
    return static_cast<int>((group_ << counter_bits_) | counter);
  }

 private:
  int64_t group_;
  int counter_bits_ = 0;
};

class MpiCommunicator final : public HostCommunicator {
 public:
  /// `job_ranks[r]` is the job's number of the group's rank r.
  MpiCommunicator(std::shared_ptr<MpiThread> mpi, Backend& backend, const MpiOptions& options,
                  std::vector<int> job_ranks, int64_t group)
      : HostCommunicator(backend, position_of(mpi->rank(), job_ranks),
                         static_cast<int>(job_ranks.size()), TransportReach::kHostMemory),
        mpi_(std::move(mpi)),
        options_(options),
        job_ranks_(std::move(job_ranks)),
        tags_(mpi_->max_tag(), group) {
    SWITCHYARD_CHECK(options.max_message_bytes > 0 &&
                     options.max_message_bytes <= std::numeric_limits<int>::max());
    mpi_->set_next_group(std::max(mpi_->next_group(), group + 1));
  }

  std::string_view transport() const override { return "mpi"; }

  /// The group number is one that none of the ranks has used: groups that share two ranks never
  /// share tags.
  std::unique_ptr<Communicator> split(int color, int key) override {
    const auto entries = exchange_split(take_sequence(), {color, key, mpi_->next_group()});
    int64_t group = 0;
    for (const SplitEntry& entry : entries) group = std::max(group, entry.note);
    std::vector<int> job_ranks;
    for (const int member : members_of(entries, color)) job_ranks.push_back(job_rank(member));
    return std::make_unique<MpiCommunicator>(mpi_, backend(), options_, std::move(job_ranks),
                                             group);
  }

  void abort(int exit_status) override { mpi_->abort(exit_status); }

 protected:
  void run(const HostCollective& collective) override {
    MpiTransfer transfer;
    transfer.phases = plan_messages(collective, rank());
    for (MessagePhase& phase : transfer.phases) {
      for (IncomingMessage& message : phase.incoming) message.from = job_rank(message.from);
      for (OutgoingMessage& message : phase.outgoing) message.to = job_rank(message.to);
    }
    transfer.tag = tags_.tag(collective.sequence);
    transfer.what = concat("rank ", mpi_->rank(), ": ", collective.text());
    transfer.max_message_bytes = options_.max_message_bytes;
    transfer.deadline_seconds = deadline_of(collective.label.patience, options_.deadline_seconds);
    mpi_->run(transfer, [&] { copy_own_piece(backend(), collective, rank()); });
  }

  void skip(const HostCollective& collective) noexcept override {
    mpi_->abort_soon(concat("rank ", mpi_->rank(), " cannot take part in ", collective.text(),
                            ": its stream failed before; ending the job"));
  }

 private:
  static int position_of(int job_rank, const std::vector<int>& job_ranks) {
    const auto found = std::find(job_ranks.begin(), job_ranks.end(), job_rank);
    return static_cast<int>(found - job_ranks.begin());
  }
  int job_rank(int rank) const { return job_ranks_[static_cast<size_t>(rank)]; }

  std::shared_ptr<MpiThread> mpi_;
  MpiOptions options_;
  std::vector<int> job_ranks_;
  TagRange tags_;
};

}  // namespace

std::shared_ptr<MpiThread> start_mpi() {
  static std::weak_ptr<MpiThread> running;
  std::shared_ptr<MpiThread> mpi = running.lock();
  if (mpi == nullptr) {
    mpi = std::make_shared<MpiThread>();
    running = mpi;
  }
  return mpi;
}

std::unique_ptr<Communicator> make_mpi_communicator(std::shared_ptr<MpiThread> mpi,
                                                    Backend& backend, const MpiOptions& options) {
  std::vector<int> job_ranks(static_cast<size_t>(mpi->size()));
  std::iota(job_ranks.begin(), job_ranks.end(), 0);
  const int64_t group = mpi->next_group();
  return std::make_unique<MpiCommunicator>(std::move(mpi), backend, options, std::move(job_ranks),
                                           group);
}

}  // namespace switchyard
