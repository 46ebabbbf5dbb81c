#include "parallel/communicator_rendezvous.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

[[noreturn]] void fail_peer(const std::string& why) { throw Error(ErrorKind::kPeer, why); }

bool same_label(const CollectiveLabel& a, const CollectiveLabel& b) {
  return a.step == b.step && a.layer == b.layer && a.round == b.round &&
         std::string_view(a.phase) == b.phase;
}

/// "3 rows of 8 bytes" or "24 bytes".
std::string amount_text(const HostCollective& collective, int64_t bytes) {
  if (collective.kind != CollectiveKind::kAllToAll || collective.row_bytes == 0) {
    return concat(bytes, " bytes");
  }
  return concat(bytes / collective.row_bytes, " rows of ", collective.row_bytes, " bytes");
}

void copy_pieces(int rank, const Backend& backend, const HostCollective& mine,
                 const std::vector<const HostCollective*>& parts) {
  copy_own_piece(backend, mine, rank);
  for (size_t r = 0; r < parts.size(); ++r) {
    const RecvPiece& to = mine.recv[r];
    if (to.bytes == 0 || r == static_cast<size_t>(rank)) continue;
    copy_piece(backend, parts[r]->send[static_cast<size_t>(rank)], to);
  }
}

}  // namespace

RendezvousWorld::RendezvousWorld(int size, double deadline_seconds)
    : deadline_seconds_(deadline_seconds), last_collective_(static_cast<size_t>(size)) {}

void RendezvousWorld::fail(const std::string& why) {
  const std::lock_guard lock(mutex_);
  fail_locked(why);
}

void RendezvousWorld::fail_locked(const std::string& why) {
  if (!failure_.empty()) return;
  failure_ = why;
  for (RendezvousGroup* group : groups_) {
    for (auto& [sequence, operation] : group->operations_) operation.changed.notify_all();
  }
}

std::string RendezvousWorld::deadlock_report() const {
  std::vector<std::string> where(last_collective_.size());
  for (const RendezvousGroup* group : groups_) {
    for (const auto& [sequence, operation] : group->operations_) {
      for (int r = 0; r < group->size(); ++r) {
        const HostCollective* part = operation.parts[static_cast<size_t>(r)];
        if (part == nullptr) continue;
        std::string& text = where[static_cast<size_t>(group->job_rank(r))];
        text += concat(text.empty() ? "waits in " : " and in ", part->text());
      }
    }
  }
  std::string report;
  for (size_t r = 0; r < where.size(); ++r) {
    if (where[r].empty()) {
      where[r] = last_collective_[r].empty()
                     ? "has not arrived in any collective"
                     : "has not arrived; its last collective was " + last_collective_[r];
    }
    report += concat("\n  rank ", r, ": ", where[r]);
  }
  return report;
}

RendezvousGroup::RendezvousGroup(std::shared_ptr<RendezvousWorld> world, std::vector<int> job_ranks)
    : world_(std::move(world)), job_ranks_(std::move(job_ranks)), has_left_(job_ranks_.size()) {
  const std::lock_guard lock(world_->mutex_);
  world_->groups_.push_back(this);
}

RendezvousGroup::~RendezvousGroup() {
  const std::lock_guard lock(world_->mutex_);
  std::erase(world_->groups_, this);
}

void RendezvousGroup::run(int rank, const Backend& backend, const HostCollective& mine) {
  std::unique_lock lock(world_->mutex_);
  Operation& operation = arrive(rank, mine);
  wait_for_peers(lock, operation, mine);
  lock.unlock();
  copy_pieces(rank, backend, mine, operation.parts);
  lock.lock();
  // From here every rank is sure to come, failed or not: only copies remain. So nobody may leave
  // (and free its buffers) for another's failure.
  if (++operation.num_copied == size()) operation.changed.notify_all();
  operation.changed.wait(lock, [&] { return operation.num_copied == size(); });
  if (++operation.num_gone == size()) operations_.erase(mine.sequence);
}

RendezvousGroup::Operation& RendezvousGroup::arrive(int rank, const HostCollective& mine) {
  if (!world_->failure_.empty()) fail_peer(world_->failure_);
  world_->last_collective_[static_cast<size_t>(job_rank(rank))] = mine.text();
  Operation& operation = operations_[mine.sequence];
  operation.parts.resize(job_ranks_.size());
  for (int r = 0; r < size(); ++r) {
    const HostCollective* theirs = operation.parts[static_cast<size_t>(r)];
    if (theirs != nullptr) {
      check_match(rank, mine, r, *theirs);
    } else if (has_left_[static_cast<size_t>(r)] != 0) {
      world_->fail_locked(left_text(r, rank, mine));
    }
    if (!world_->failure_.empty()) fail_peer(world_->failure_);
  }
  operation.parts[static_cast<size_t>(rank)] = &mine;
  if (++operation.num_arrived == size()) operation.changed.notify_all();
  return operation;
}

void RendezvousGroup::wait_for_peers(std::unique_lock<std::mutex>& lock, Operation& operation,
                                     const HostCollective& mine) {
  // Complete comes before failed: once all have come, peers read this rank's buffers.
  const auto all_here = [&] { return operation.num_arrived == size(); };
  const auto over = [&] { return all_here() || !world_->failure_.empty(); };
  const double seconds = deadline_of(mine.label.patience, world_->deadline_seconds_);
  if (seconds <= 0.0) {
    operation.changed.wait(lock, over);
  } else if (!operation.changed.wait_for(lock, std::chrono::duration<double>(seconds), over)) {
    world_->fail_locked(concat("no progress in ", mine.text(), " for ", seconds,
                               " s: a deadlock, or a rank that is too slow",
                               world_->deadlock_report()));
  }
  if (!all_here()) fail_peer(world_->failure_);
}

void RendezvousGroup::check_match(int rank, const HostCollective& mine, int peer,
                                  const HostCollective& theirs) {
  const auto disagree = [&](const auto&... detail) {
    world_->fail_locked(concat("ranks disagree: rank ", job_rank(rank), " is in ", mine.text(),
                               " while rank ", job_rank(peer), " is in ", theirs.text(),
                               detail...));
  };
  if (mine.kind != theirs.kind || !same_label(mine.label, theirs.label)) {
    disagree();
  } else if (mine.root != theirs.root) {
    disagree(": of root ", mine.root, " and of root ", theirs.root);
  } else if (mine.row_bytes != theirs.row_bytes) {
    disagree(": with rows of ", mine.row_bytes, " and of ", theirs.row_bytes, " bytes");
  } else {
    const auto check_amount = [&](int from, const HostCollective& sender, int to,
                                  const HostCollective& receiver) {
      const int64_t sent = sender.send[static_cast<size_t>(to)].bytes;
      const int64_t due = receiver.recv[static_cast<size_t>(from)].bytes;
      if (sent == due) return;
      disagree(": rank ", job_rank(from), " sends ", amount_text(sender, sent), ", rank ",
               job_rank(to), " expects ", amount_text(receiver, due));
    };
    check_amount(rank, mine, peer, theirs);
    check_amount(peer, theirs, rank, mine);
  }
}

std::string RendezvousGroup::left_text(int absent, int rank, const HostCollective& waiting) const {
  return concat("rank ", job_rank(absent), " has left while rank ", job_rank(rank), " is in ",
                waiting.text());
}

std::shared_ptr<RendezvousGroup> RendezvousGroup::child(int64_t sequence, int color,
                                                        const std::vector<int>& members) {
  std::vector<int> job_ranks;
  for (const int member : members) job_ranks.push_back(job_rank(member));
  // Made before the lock, which its constructor takes; dropped if another member was first.
  auto made = std::make_shared<RendezvousGroup>(world_, std::move(job_ranks));
  std::shared_ptr<RendezvousGroup> group;
  {
    const std::lock_guard lock(world_->mutex_);
    Child& child = children_[{sequence, color}];
    if (child.group == nullptr) child.group = std::move(made);
    group = child.group;
    if (++child.num_taken == members.size()) children_.erase({sequence, color});
  }
  return group;
}

void RendezvousGroup::leave(int rank) {
  const std::lock_guard lock(world_->mutex_);
  has_left_[static_cast<size_t>(rank)] = 1;
  if (!world_->failure_.empty()) return;  // parts of a failed operation may be gone
  for (const auto& [sequence, operation] : operations_) {
    if (operation.parts[static_cast<size_t>(rank)] != nullptr) continue;
    for (int r = 0; r < size(); ++r) {
      const HostCollective* waiting = operation.parts[static_cast<size_t>(r)];
      if (waiting != nullptr) world_->fail_locked(left_text(rank, r, *waiting));
    }
  }
}

}  // namespace switchyard
