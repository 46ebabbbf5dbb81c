#include "parallel/staging.h"

#include <algorithm>
#include <utility>

namespace switchyard {

StagingPool::Lease::Lease(Lease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), block_(std::move(other.block_)) {}

StagingPool::Lease& StagingPool::Lease::operator=(Lease&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(block_, other.block_);
  return *this;
}

void StagingPool::Lease::give_back() {
  if (pool_ != nullptr) std::exchange(pool_, nullptr)->put_back(std::move(block_));
}

StagingPool::Lease StagingPool::take(int64_t bytes) {
  HostBuffer outgrown;
  {
    const std::lock_guard lock(mutex_);
    // The smallest that suffices; else the largest makes room for one that does.
    const auto by_size = [](const HostBuffer& a, const HostBuffer& b) {
      return a.bytes() < b.bytes();
    };
    std::sort(free_.begin(), free_.end(), by_size);
    const auto found = std::find_if(free_.begin(), free_.end(), [&](const HostBuffer& block) {
      return block.bytes() >= bytes;
    });
    if (found != free_.end()) {
      Lease lease(*this, std::move(*found));
      free_.erase(found);
      return lease;
    }
    if (!free_.empty()) {
      outgrown = std::move(free_.back());
      free_.pop_back();
      bytes_ -= outgrown.bytes();
    }
  }
  outgrown = HostBuffer();
  HostBuffer block = backend_.allocate_host(bytes);
  const std::lock_guard lock(mutex_);
  bytes_ += bytes;
  return Lease(*this, std::move(block));
}

int64_t StagingPool::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void StagingPool::put_back(HostBuffer block) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(block));
}

StagingPlan::StagingPlan(const HostCollective& collective, int rank) {
  plan(collective.send, rank, out_, send_offsets_);
  plan(collective.recv, rank, in_, recv_offsets_);
}

template <typename Piece>
void StagingPlan::plan(const std::vector<Piece>& pieces, int rank, std::vector<Copy>& copies,
                       std::vector<int64_t>& offsets) {
  offsets.assign(pieces.size(), -1);
  for (size_t r = 0; r < pieces.size(); ++r) {
    const Piece& piece = pieces[r];
    if (piece.bytes == 0 || piece.place == MemoryPlace::kHost || r == static_cast<size_t>(rank)) {
      continue;
    }
    char* const device = const_cast<char*>(piece.data);
    if (!copies.empty() && copies.back().device == device && copies.back().bytes == piece.bytes) {
      offsets[r] = copies.back().offset;  // the same bytes for several ranks
      continue;
    }
    if (!copies.empty() && copies.back().device + copies.back().bytes == device) {
      copies.back().bytes += piece.bytes;
    } else {
      copies.push_back({device, bytes_, piece.bytes});
    }
    offsets[r] = bytes_;
    bytes_ += piece.bytes;
  }
}

void StagingPlan::fill(const Backend& backend, char* host, HostCollective& collective) const {
  for (const Copy& copy : out_) backend.copy_in_task(host + copy.offset, copy.device, copy.bytes);
  for (size_t r = 0; r < send_offsets_.size(); ++r) {
    if (send_offsets_[r] >= 0) {
      collective.send[r] = {host + send_offsets_[r], collective.send[r].bytes, MemoryPlace::kHost};
    }
    if (recv_offsets_[r] >= 0) {
      collective.recv[r] = {host + recv_offsets_[r], collective.recv[r].bytes, MemoryPlace::kHost};
    }
  }
}

void StagingPlan::drain(const Backend& backend, const char* host) const {
  for (const Copy& copy : in_) backend.copy_in_task(copy.device, host + copy.offset, copy.bytes);
}

}  // namespace switchyard
