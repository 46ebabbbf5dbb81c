// The communicator over NCCL, with emulated GPUs and an emulated NCCL; ranks are threads.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/base/steady_seconds.h"
#include "parallel/control_channel.h"
#include "parallel/nccl/nccl_transport.h"
#include "parallel/thread_communicator.h"
#include "parallel/token_dispatcher.h"
#include "parallel/warm_up.h"
#include "tests/cuda_emulation/nccl_faults.h"
#include "tests/parallel/communicator_checks.h"

namespace switchyard {
namespace {

const CollectiveLabel kDispatch{3, 1, 0, "dispatch"};

using RankBody = std::function<void(Backend& backend, Communicator& world)>;

struct GpuJob {
  int size = 1;
  CommunicatorOptions options = {.deadline_seconds = 20.0, .transport = Transport::kNccl};
  std::vector<int> devices = {0, 1, 2, 3};  // of each rank
  double host_deadline_seconds = 20.0;
};

/// Runs `body` on every rank of the job; gives each rank's error, "" where there was none, with
/// "not of a peer: " before one of another kind.
std::vector<std::string> run_gpu_ranks(const GpuJob& job, const RankBody& body) {
  ThreadWorld world(job.size, {.seed = 1, .deadline_seconds = job.host_deadline_seconds});
  std::vector<std::string> errors(static_cast<size_t>(job.size));
  const auto run_rank = [&](int rank) {
    try {
      BackendOptions options;
      options.kind = BackendKind::kCuda;
      options.device = job.devices[static_cast<size_t>(rank)];
      const std::unique_ptr<Backend> backend = make_backend(options);
      const std::unique_ptr<Communicator> communicator =
          choose_transport(world.communicator(rank, *backend), *backend, job.options);
      body(*backend, *communicator);
    } catch (const Error& error) {
      errors[static_cast<size_t>(rank)] =
          (error.kind() == ErrorKind::kPeer ? "" : "not of a peer: ") + std::string(error.what());
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < job.size; ++rank) threads.emplace_back(run_rank, rank);
  }
  return errors;
}

void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
  }
}

void expect_no_errors(const std::vector<std::string>& errors) {
  for (const std::string& error : errors) EXPECT_EQ(error, "");
}

/// Device memory for a rank's exchange of one row of 64 bytes with every rank.
struct Rows {
  Rows(Backend& backend, Communicator& world)
      : stream(backend.make_stream(StreamKind::kExchange)),
        send(backend, stream, std::string(static_cast<size_t>(64 * world.size()), 'a')),
        recv(backend, stream, std::string(static_cast<size_t>(64 * world.size()), 'b')) {}
  AllToAllArgs args(const Communicator& world, int64_t sent = 1) const {
    std::vector<int64_t> to(static_cast<size_t>(world.size()), sent);
    to[static_cast<size_t>(world.rank())] = 1;
    const std::vector<int64_t> from(static_cast<size_t>(world.size()), 1);
    return {send.data(), recv.data(), 64, to, from};
  }
  Stream stream;
  DeviceBytes send;
  DeviceBytes recv;
};

class NcclCommunicatorTest : public testing::Test {
 protected:
  void SetUp() override { overlaps_before_ = nccl_emulation::num_overlaps(); }
  void TearDown() override {
    nccl_emulation::lose_rank(-1);
    nccl_emulation::hang_connecting(false);
    EXPECT_EQ(nccl_emulation::num_alive(), 0) << "a communicator of NCCL was left behind";
    EXPECT_EQ(nccl_emulation::num_overlaps(), overlaps_before_)
        << "a GPU had work of two communicators in flight";
  }

 private:
  int64_t overlaps_before_ = 0;
};

TEST_F(NcclCommunicatorTest, MovesEveryByteToItsPlace) {
  for (const int size : {1, 2, 3, 4}) {
    const auto errors = run_gpu_ranks({.size = size}, [](Backend& backend, Communicator& world) {
      EXPECT_EQ(world.transport(), "nccl");
      check_everything(backend, world);
      EXPECT_EQ(world.staging_bytes(), 0);
    });
    expect_no_errors(errors);
  }
}

TEST_F(NcclCommunicatorTest, GathersFromHostMemoryToo) {
  expect_no_errors(run_gpu_ranks({.size = 3}, [](Backend& backend, Communicator& world) {
    Stream stream = backend.make_stream(StreamKind::kExchange);
    const std::string mine = message(4, world.rank(), 0, 900);
    std::string all;
    for (int r = 0; r < world.size(); ++r) all += message(4, r, 0, 900);
    const DeviceBytes gathered(backend, stream, std::string(all.size(), '\0'));
    world.all_gather(stream, mine.data(), gathered.data(), 900, kDispatch);
    EXPECT_EQ(gathered.download(), all);
  }));
}

TEST_F(NcclCommunicatorTest, ARankWithoutRowsConnectsToo) {
  expect_no_errors(run_gpu_ranks({.size = 3}, [](Backend& backend, Communicator& world) {
    Rows rows(backend, world);
    AllToAllArgs args = rows.args(world);
    // Ranks 0 and 1 exchange a row, rank 2 has none for anybody.
    for (auto* counts : {&args.send_rows, &args.recv_rows}) {
      *counts = world.rank() == 2 ? std::vector<int64_t>(3) : std::vector<int64_t>{1, 1, 0};
    }
    world.all_to_all_v(rows.stream, args, kDispatch);
    EXPECT_EQ(rows.recv.download().substr(0, 128), std::string(128, world.rank() == 2 ? 'b' : 'a'));
  }));
}

TEST_F(NcclCommunicatorTest, ADispatcherWarmsUp) {
  expect_no_errors(run_gpu_ranks({.size = 4}, [](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    Stream compute = backend.make_stream(StreamKind::kCompute);
    Stream exchange = backend.make_stream(StreamKind::kExchange);
    TokenDispatcher dispatcher(backend, world, compute, exchange, {16, 100});
    warm_up(control, dispatcher.warm_up_phases(8));
  }));
}

TEST_F(NcclCommunicatorTest, HostMemoryTakesNothingOfAGpu) {
  const int64_t made = nccl_emulation::num_made();
  expect_no_errors(run_gpu_ranks({.size = 2}, [](Backend& backend, Communicator& world) {
    check_control_channel(backend, world);
    world.split(0, 0);
  }));
  EXPECT_EQ(nccl_emulation::num_made(), made);
}

TEST_F(NcclCommunicatorTest, ARanksExchangesKeepTheOrderOfTheCalls) {
  // Two communicators and two streams of a GPU: the second exchange must wait for the first on
  // every rank, whatever the streams hold before them.
  expect_no_errors(run_gpu_ranks({.size = 2}, [](Backend& backend, Communicator& world) {
    const std::unique_ptr<Communicator> other = world.split(0, world.rank());
    const Rows first(backend, world);
    const Rows second(backend, world);
    Stream& slow = const_cast<Stream&>(world.rank() == 0 ? first.stream : second.stream);
    for (int i = 0; i < 10; ++i) {
      backend.run_on_host(slow, [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); });
      world.all_to_all_v(const_cast<Stream&>(first.stream), first.args(world), kDispatch);
      other->all_to_all_v(const_cast<Stream&>(second.stream), second.args(world), kDispatch);
    }
    EXPECT_EQ(first.recv.download(), std::string(128, 'a'));
    EXPECT_EQ(second.recv.download(), std::string(128, 'a'));
  }));
}

TEST_F(NcclCommunicatorTest, TwoRanksOnOneGpuAreRefused) {
  const int64_t made = nccl_emulation::num_made();
  const GpuJob job{.size = 3, .devices = {0, 1, 0}};
  for (const std::string& error : run_gpu_ranks(job, [](Backend&, Communicator&) {})) {
    expect_parts(error,
                 {"not of a peer", "ranks 0 and 2 share the GPU 0000:01:00.0", "--transport mpi"});
  }
  EXPECT_EQ(nccl_emulation::num_made(), made) << "before NCCL was asked";
}

TEST_F(NcclCommunicatorTest, AutoFallsBackToTheHosts) {
  GpuJob job{.size = 2, .devices = {1, 1}};
  job.options.transport = Transport::kAuto;
  const RankBody over_threads = [](Backend& backend, Communicator& world) {
    EXPECT_EQ(world.transport(), "threads");
    check_everything(backend, world);
    check_mixed_memory(backend, world);
  };
  expect_no_errors(run_gpu_ranks(job, over_threads));
  job.options.transport = Transport::kMpi;
  job.devices = {0, 1};
  expect_no_errors(run_gpu_ranks(job, over_threads));
  job.options.transport = Transport::kAuto;
  expect_no_errors(run_gpu_ranks(
      job, [](Backend&, Communicator& world) { EXPECT_EQ(world.transport(), "nccl"); }));
}

TEST_F(NcclCommunicatorTest, BuffersOfTwoKindsAreAFault) {
  const auto errors = run_gpu_ranks({.size = 2}, [](Backend& backend, Communicator& world) {
    Rows rows(backend, world);
    AllToAllArgs args = rows.args(world);
    std::string host(128, '\0');
    args.recv = host.data();
    world.all_to_all_v(rows.stream, args, kDispatch);
  });
  for (const std::string& error : errors) expect_parts(error, {"dispatch", "device memory"});
}

TEST_F(NcclCommunicatorTest, ARankThatNeverConnectsIsToldByTheHosts) {
  GpuJob job{.size = 3, .host_deadline_seconds = 0.3};
  const auto errors = run_gpu_ranks(job, [](Backend& backend, Communicator& world) {
    Rows rows(backend, world);
    if (world.rank() == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(600));
      return;
    }
    world.all_to_all_v(rows.stream, rows.args(world), kDispatch);
  });
  for (const int rank : {0, 2}) {
    expect_parts(errors[static_cast<size_t>(rank)], {"rank 1: has not arrived", "0.3 s"});
  }
}

TEST_F(NcclCommunicatorTest, ConnectingHasADeadline) {
  nccl_emulation::hang_connecting(true);
  GpuJob job{.size = 2};
  job.options.deadline_seconds = 0.2;
  const auto errors = run_gpu_ranks(job, [](Backend& backend, Communicator& world) {
    Rows rows(backend, world);
    world.all_to_all_v(rows.stream, rows.args(world), kDispatch);
  });
  for (const std::string& error : errors) {
    expect_parts(error, {"NCCL cannot connect rank 0", "2 ranks", "0.2 s", "NCCL_SOCKET_IFNAME"});
  }
}

/// One exchange that connects, then `body`.
std::vector<std::string> run_connected(
    const GpuJob& job, const std::function<void(Backend&, Communicator&, Rows&)>& body) {
  return run_gpu_ranks(job, [&](Backend& backend, Communicator& world) {
    Rows rows(backend, world);
    world.all_to_all_v(rows.stream, rows.args(world), {2, 0, 0, "warm"});
    backend.record(rows.stream).synchronize();
    body(backend, world, rows);
  });
}

TEST_F(NcclCommunicatorTest, ARankThatNeverComesIsReported) {
  GpuJob job{.size = 3};
  job.options.deadline_seconds = 0.3;
  std::atomic<int> num_failed = 0;
  const auto errors = run_connected(job, [&](Backend& backend, Communicator& world, Rows& rows) {
    if (world.rank() == 2) {
      while (num_failed < 2) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      return;
    }
    try {
      world.all_to_all_v(rows.stream, rows.args(world), kDispatch);
      backend.record(rows.stream).synchronize();
    } catch (const Error&) {
      ++num_failed;
      throw;
    }
  });
  EXPECT_EQ(errors[2], "");
  // One of the two gives up first; the other may hear of that before its own deadline.
  expect_parts(errors[0] + errors[1],
               {"'step 3, layer 1, round 0, dispatch' (all-to-all over NCCL)", "0.3 s", "ranks",
                "(1 have ended before, the last was 'step 2, layer 0, round 0, warm'"});
}

TEST_F(NcclCommunicatorTest, NothingAfterAFailedExchangeIsTrusted) {
  // The compute stream waits for rows that never come. When the exchange is given up, the stream
  // goes on over what the buffer holds: waiting for it must throw all the same.
  GpuJob job{.size = 2};
  job.options.deadline_seconds = 0.2;
  const auto errors = run_connected(job, [](Backend& backend, Communicator& world, Rows& rows) {
    if (world.rank() == 1) {
      std::this_thread::sleep_for(std::chrono::milliseconds(700));
      return;
    }
    Stream compute = backend.make_stream(StreamKind::kCompute);
    world.all_to_all_v(rows.stream, rows.args(world), kDispatch);
    backend.wait(compute, backend.record(rows.stream));
    bool has_run = false;
    backend.run_on_host(compute, [&] { has_run = true; });
    EXPECT_THROW(backend.record(compute).synchronize(), Error);
    EXPECT_FALSE(has_run) << "a task on rows that never came";
    backend.record(compute).synchronize();
  });
  expect_parts(errors[0], {"rank 0", "dispatch", "waiting for rank 1"});
}

TEST_F(NcclCommunicatorTest, ARankThatDiesIsNoticedAtOnce) {
  const double begin = steady_seconds();
  const auto errors =
      run_connected({.size = 3}, [](Backend& backend, Communicator& world, Rows& rows) {
        if (world.rank() == 1) {
          nccl_emulation::lose_rank(1);
          return;
        }
        world.all_to_all_v(rows.stream, rows.args(world), kDispatch);
        backend.record(rows.stream).synchronize();
      });
  EXPECT_LT(steady_seconds() - begin, 15.0) << "before the deadline";
  for (const int rank : {0, 2}) {
    expect_parts(errors[static_cast<size_t>(rank)],
                 {concat("rank ", rank, ": NCCL failed"), "remote process exited"});
  }
}

TEST_F(NcclCommunicatorTest, MismatchedCountsEndAtTheDeadline) {
  GpuJob job{.size = 2};
  job.options.deadline_seconds = 0.3;
  const auto errors = run_connected(job, [](Backend& backend, Communicator& world, Rows& rows) {
    // Rank 0 sends nothing where rank 1 expects a row.
    world.all_to_all_v(rows.stream, rows.args(world, world.rank()), kDispatch);
    backend.record(rows.stream).synchronize();
  });
  expect_parts(errors[1], {"rank 1", "'step 3, layer 1, round 0, dispatch'", "waiting for rank 0"});
}

TEST_F(NcclCommunicatorTest, AFailedStreamDoesNotKeepTheOthersWaiting) {
  GpuJob job{.size = 2};
  job.options.deadline_seconds = 0.0;
  const auto errors = run_connected(job, [](Backend& backend, Communicator& world, Rows& rows) {
    if (world.rank() == 1) {
      backend.run_on_host(rows.stream, [] { fail_resource("no memory left on the device"); });
    }
    world.all_to_all_v(rows.stream, rows.args(world), kDispatch);
    backend.record(rows.stream).synchronize();
  });
  expect_parts(errors[0], {"rank 0: NCCL failed in 'step 3, layer 1, round 0, dispatch'"});
  expect_parts(errors[1], {"not of a peer: no memory left on the device"});
}

TEST_F(NcclCommunicatorTest, PatienceForEverHasNoDeadline) {
  GpuJob job{.size = 2};
  job.options.deadline_seconds = 0.1;
  expect_no_errors(run_connected(job, [](Backend& backend, Communicator& world, Rows& rows) {
    if (world.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(400));
    CollectiveLabel label = kDispatch;
    label.patience = Patience::kForever;
    world.all_to_all_v(rows.stream, rows.args(world), label);
    backend.record(rows.stream).synchronize();
  }));
}

}  // namespace
}  // namespace switchyard
