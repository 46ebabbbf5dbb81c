#include "parallel/staging.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "parallel/local_communicator.h"
#include "parallel/thread_communicator.h"
#include "tests/parallel/communicator_checks.h"
#include "tests/parallel/opaque_backend.h"

namespace switchyard {
namespace {

/// Ranks as threads, each with a backend whose memory the host cannot address.
void run_opaque_ranks(int size, const std::function<void(OpaqueBackend&, Communicator&)>& body) {
  ThreadWorld world(size);
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.emplace_back([&world, &body, rank] {
      try {
        OpaqueBackend backend;
        const std::unique_ptr<Communicator> communicator = world.communicator(rank, backend);
        body(backend, *communicator);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << rank << ": " << error.what();
        world.fail(error.what());
      }
    });
  }
}

TEST(StagingTest, ThreadsCopyFromDeviceToDevice) {
  for (const int size : {1, 2, 3, 4}) {
    run_opaque_ranks(size, [](OpaqueBackend& backend, Communicator& world) {
      check_everything(backend, world);
      EXPECT_EQ(world.staging_bytes(), 0) << "no way through host memory";
      EXPECT_GT(backend.num_copies(), 0);
    });
  }
}

TEST(StagingTest, ThreadsMixHostAndDeviceMemory) {
  for (const int size : {1, 2, 4}) run_opaque_ranks(size, check_mixed_memory);
}

TEST(StagingTest, OneRankNeedsNoStaging) {
  OpaqueBackend backend;
  LocalCommunicator local(backend);
  check_everything(backend, local);
  check_mixed_memory(backend, local);
  EXPECT_EQ(local.staging_bytes(), 0);
}

/// A collective of three ranks from and to device memory, of which this is rank 1.
HostCollective exchange_of(char* send, char* recv, std::vector<int64_t> bytes) {
  HostCollective collective;
  collective.kind = CollectiveKind::kAllToAll;
  for (const int64_t piece : bytes) {
    collective.send.push_back({send, piece, MemoryPlace::kDevice});
    collective.recv.push_back({recv, piece, MemoryPlace::kDevice});
    send += piece;
    recv += piece;
  }
  return collective;
}

TEST(StagingTest, OnlyWhatTravelsIsStaged) {
  OpaqueBackend backend;
  Stream stream = backend.make_stream(StreamKind::kExchange);
  const DeviceBytes send(backend, stream, "aabbbbcccccc");
  const DeviceBytes recv(backend, stream, std::string(12, '.'));
  HostCollective collective =
      exchange_of(static_cast<char*>(send.data()), static_cast<char*>(recv.data()), {2, 4, 6});
  const StagingPlan plan(collective, 1);
  ASSERT_EQ(plan.bytes(), 2 * (2 + 6));
  std::string host(static_cast<size_t>(plan.bytes()), '?');
  plan.fill(backend, host.data(), collective);
  EXPECT_EQ(host.substr(0, 8), "aacccccc");
  EXPECT_EQ(std::string(collective.send[2].data, 6), "cccccc");
  EXPECT_EQ(collective.send[1].place, MemoryPlace::kDevice) << "its own stays where it is";
  std::string("zz").copy(collective.recv[0].data, 2);
  std::string("yyyyyy").copy(collective.recv[2].data, 6);
  plan.drain(backend, host.data());
  EXPECT_EQ(recv.download(), "zz....yyyyyy");
}

TEST(StagingTest, NeighboursMoveInOneCopyAndTheSameBytesOnce) {
  OpaqueBackend backend;
  Stream stream = backend.make_stream(StreamKind::kExchange);
  const DeviceBytes send(backend, stream, "aabbbbcccccc");
  char* const data = static_cast<char*>(send.data());
  HostCollective apart = exchange_of(data, data, {2, 4, 6});
  const StagingPlan neighbours(apart, 0);
  std::string host(static_cast<size_t>(neighbours.bytes()), '?');
  neighbours.fill(backend, host.data(), apart);
  EXPECT_EQ(backend.num_copies(), 1);
  HostCollective same;
  same.send.assign(4, {data, 12, MemoryPlace::kDevice});
  same.recv.resize(4);
  const StagingPlan once(same, 2);
  EXPECT_EQ(once.bytes(), 12);
}

TEST(StagingTest, HostMemoryIsNotStaged) {
  std::string bytes(8, 'a');
  HostCollective collective;
  collective.send.assign(2, {bytes.data(), 8, MemoryPlace::kHost});
  collective.recv.assign(2, {bytes.data(), 8, MemoryPlace::kHost});
  EXPECT_EQ(StagingPlan(collective, 0).bytes(), 0);
}

TEST(StagingTest, BlocksComeBackAndGrow) {
  OpaqueBackend backend;
  StagingPool pool(backend);
  char* first = nullptr;
  {
    const StagingPool::Lease lease = pool.take(1000);
    first = lease.data();
    const StagingPool::Lease beside = pool.take(10);
    EXPECT_EQ(pool.bytes(), 1010);
    EXPECT_NE(first, beside.data());
  }
  EXPECT_EQ(pool.take(500).data(), first) << "the smallest block that suffices";
  EXPECT_EQ(pool.bytes(), 1010);
  { const StagingPool::Lease larger = pool.take(4000); }
  EXPECT_EQ(pool.bytes(), 4010) << "the largest gave way";
  for (int i = 0; i < 10; ++i) {
    const StagingPool::Lease again = pool.take(4000 - i);
  }
  EXPECT_EQ(pool.bytes(), 4010);
}

}  // namespace
}  // namespace switchyard
