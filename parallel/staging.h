// Host memory between a device and a transport that reaches host memory only.
#pragma once

#include <cstdint>
#include <mutex>
#include <vector>

#include "kernels/backend.h"
#include "parallel/host_collective.h"

namespace switchyard {

/// Blocks of host memory that are lent and come back. They are kept and only ever grow, so that in
/// steady state nothing is allocated. Thread-safe.
class StagingPool {
 public:
  /// A block on loan; gives itself back. Must not outlive the pool.
  class Lease {
   public:
    Lease() = default;
    Lease(StagingPool& pool, HostBuffer block) : pool_(&pool), block_(std::move(block)) {}
    Lease(Lease&& other) noexcept;
    Lease& operator=(Lease&& other) noexcept;
    ~Lease() { give_back(); }
    void give_back();
    char* data() const { return static_cast<char*>(block_.data()); }

   private:
    StagingPool* pool_ = nullptr;
    HostBuffer block_;
  };

  /// `backend` must outlive the pool.
  explicit StagingPool(Backend& backend) : backend_(backend) {}

  /// A block of at least so many bytes; throws Error(kResource).
  Lease take(int64_t bytes);
  /// Bytes of all blocks, lent or not.
  int64_t bytes() const;

 private:
  void put_back(HostBuffer block);

  Backend& backend_;
  mutable std::mutex mutex_;
  std::vector<HostBuffer> free_;  // guarded by mutex_
  int64_t bytes_ = 0;             // guarded by mutex_
};

/// Which bytes of a collective go through host memory, and where they lie there.
class StagingPlan {
 public:
  /// Covers the pieces in device memory, but for that of `rank` itself, which never travels.
  StagingPlan(const HostCollective& collective, int rank);

  /// Of host memory; 0 if all pieces are there anyway.
  int64_t bytes() const { return bytes_; }
  /// Copies what is sent into `host` and lets the pieces point there.
  void fill(const Backend& backend, char* host, HostCollective& collective) const;
  /// Copies what was received from `host` to where it belongs.
  void drain(const Backend& backend, const char* host) const;

 private:
  /// Neighbours in device memory are neighbours in host memory: one copy moves them all.
  struct Copy {
    char* device = nullptr;
    int64_t offset = 0;
    int64_t bytes = 0;
  };

  template <typename Piece>
  void plan(const std::vector<Piece>& pieces, int rank, std::vector<Copy>& copies,
            std::vector<int64_t>& offsets);

  int64_t bytes_ = 0;
  std::vector<Copy> out_;
  std::vector<Copy> in_;
  std::vector<int64_t> send_offsets_;  // [size]; -1: not staged
  std::vector<int64_t> recv_offsets_;
};

}  // namespace switchyard
