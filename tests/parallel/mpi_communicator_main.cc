// The communicator over MPI. All ranks run the same tests; with an argument, the process does one
// thing that ends its job, for mpi_failures.sh.
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/error.h"
#include "parallel/control_channel.h"
#include "parallel/mpi/message_plan.h"
#include "parallel/mpi/mpi_communicator.h"
#include "parallel/mpi/mpi_thread.h"
#include "parallel/topology.h"
#include "tests/parallel/communicator_checks.h"
#include "tests/parallel/opaque_backend.h"

namespace switchyard {
namespace {

const CollectiveLabel kDispatch{3, 1, 0, "dispatch"};

/// MPI starts once in a process: all tests share it.
std::shared_ptr<MpiThread>& mpi() {
  static std::shared_ptr<MpiThread> thread;
  return thread;
}

std::unique_ptr<Backend> backend_of(BackendKind kind) {
  BackendOptions options;
  options.kind = kind;
  options.strict_seed = static_cast<uint64_t>(mpi()->rank()) + 1;
  return make_backend(options);
}

void check_with(BackendKind kind, int64_t max_message_bytes) {
  MpiOptions options;
  options.deadline_seconds = 60.0;
  options.max_message_bytes = max_message_bytes;
  const std::unique_ptr<Backend> backend = backend_of(kind);
  const std::unique_ptr<Communicator> world = make_mpi_communicator(mpi(), *backend, options);
  EXPECT_EQ(world->transport(), "mpi");
  EXPECT_EQ(world->rank(), mpi()->rank());
  EXPECT_EQ(world->size(), mpi()->size());
  check_everything(*backend, *world);
}

TEST(MpiCommunicatorTest, MovesEveryByteToItsPlace) {
  check_with(BackendKind::kCpu, MpiOptions().max_message_bytes);
}

TEST(MpiCommunicatorTest, MovesStrictMemory) {
  check_with(BackendKind::kStrict, MpiOptions().max_message_bytes);
}

TEST(MpiCommunicatorTest, StagesMemoryThatTheHostCannotAddress) {
  OpaqueBackend backend;
  MpiOptions options;
  options.deadline_seconds = 60.0;
  const std::unique_ptr<Communicator> world = make_mpi_communicator(mpi(), backend, options);
  check_everything(backend, *world);
  check_mixed_memory(backend, *world);
  EXPECT_EQ(world->staging_bytes() > 0, world->size() > 1);
}

TEST(MpiCommunicatorTest, CutsLongPiecesIntoMessages) {
  check_with(BackendKind::kCpu, 1000);  // rows of 3,000 bytes are longer
}

TEST(MpiCommunicatorTest, CutsAtEveryByte) {
  const std::unique_ptr<Backend> backend = backend_of(BackendKind::kCpu);
  for (const int64_t bytes : {1, 2, 64}) {
    MpiOptions options;
    options.max_message_bytes = bytes;
    const auto world = make_mpi_communicator(mpi(), *backend, options);
    check_all_to_all(*backend, *world, {RowCounts::kRandom, 64, 8});
  }
}

TEST(MpiCommunicatorTest, MovesMoreThanTheEagerLimit) {
  const std::unique_ptr<Backend> backend = backend_of(BackendKind::kCpu);
  const auto world = make_mpi_communicator(mpi(), *backend, {});
  check_all_to_all(*backend, *world, {RowCounts::kRandom, 300000, 8});
}

TEST(MpiCommunicatorTest, KnowsItsMachine) {
  const std::unique_ptr<Backend> backend = backend_of(BackendKind::kCpu);
  const auto world = make_mpi_communicator(mpi(), *backend, {});
  ControlChannel control(*backend, *world);
  const Topology topology = discover_topology(control);
  EXPECT_EQ(topology.num_nodes, 1);
  EXPECT_EQ(topology.local_rank, world->rank());
  const CpuBudget budget = cpu_budget(control, topology);
  EXPECT_GE(budget.default_threads, 1);
  EXPECT_LE(budget.ranks_sharing, world->size());
}

/// Delivers all ranks' planned messages of a collective, phase by phase, as MPI would; gives the
/// phases each rank takes.
class PlannedBroadcast {
 public:
  PlannedBroadcast(int size, int root) : has_(static_cast<size_t>(size)) {
    has_[static_cast<size_t>(root)] = true;
    for (int rank = 0; rank < size; ++rank) {
      HostCollective collective;
      collective.kind = CollectiveKind::kBroadcast;
      collective.root = root;
      collective.send.resize(static_cast<size_t>(size), {nullptr, rank == root ? 8 : 0});
      collective.recv.resize(static_cast<size_t>(size));
      if (rank != root) collective.recv[static_cast<size_t>(root)].bytes = 8;
      plans_.push_back(plan_messages(collective, rank));
    }
  }
  /// Whether every rank gets the data exactly once, only from ranks that have it.
  bool reaches_all() {
    for (bool has_moved = true; has_moved;) {
      has_moved = false;
      for (size_t to = 0; to < plans_.size(); ++to) {
        for (const IncomingMessage& message : plans_[to][0].incoming) {
          if (has_[to] || !has_[static_cast<size_t>(message.from)]) continue;
          if (num_sent(message.from, static_cast<int>(to)) != 1) return false;
          has_[to] = true;
          has_moved = true;
        }
      }
    }
    return std::find(has_.begin(), has_.end(), false) == has_.end();
  }
  size_t most_sends() const {
    size_t most = 0;
    for (const auto& plan : plans_) most = std::max(most, plan[1].outgoing.size());
    return most;
  }

 private:
  int num_sent(int from, int to) const {
    int count = 0;
    for (const OutgoingMessage& message : plans_[static_cast<size_t>(from)][1].outgoing) {
      count += message.to == to && message.piece.bytes == 8 ? 1 : 0;
    }
    return count;
  }

  std::vector<bool> has_;
  std::vector<std::vector<MessagePhase>> plans_;
};

TEST(MessagePlanTest, BroadcastsReachEveryRankByATree) {
  for (const int size : {1, 2, 3, 4, 5, 7, 8, 13, 64}) {
    size_t levels = 0;
    while ((1 << levels) < size) ++levels;
    for (int root = 0; root < size; ++root) {
      PlannedBroadcast broadcast(size, root);
      EXPECT_TRUE(broadcast.reaches_all()) << size << " ranks from " << root;
      EXPECT_EQ(broadcast.most_sends(), levels) << size << " ranks from " << root;
    }
  }
}

// What ends a job. ----------------------------------------------------------------------------

struct Job {
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Communicator> world;
  Stream stream;
};

Job make_job(double deadline_seconds) {
  Job job;
  MpiOptions options;
  options.deadline_seconds = deadline_seconds;
  job.backend = backend_of(BackendKind::kCpu);
  job.world = make_mpi_communicator(mpi(), *job.backend, options);
  job.stream = job.backend->make_stream(StreamKind::kExchange);
  return job;
}

void wait_for_others(Job& job) {
  job.world->barrier(job.stream, kDispatch);
  job.backend->record(job.stream).synchronize();
}

/// The last rank is killed while the others wait for it.
void be_killed() {
  Job job = make_job(1800.0);
  wait_for_others(job);
  if (job.world->rank() == job.world->size() - 1) std::raise(SIGKILL);
  wait_for_others(job);
}

/// Rank 1 aborts with status 7 while the others wait for it.
void abort_job() {
  Job job = make_job(1800.0);
  if (job.world->rank() == 1) job.world->abort(7);
  wait_for_others(job);
}

/// Rank 1 does not come in time.
void be_late() {
  Job job = make_job(0.5);
  if (job.world->rank() == 1) std::this_thread::sleep_for(std::chrono::seconds(30));
  wait_for_others(job);
}

/// Rank 1's stream has failed, so that it never comes.
void fail_stream() {
  Job job = make_job(1800.0);
  if (job.world->rank() == 1) {
    job.backend->run_on_host(job.stream, [] { fail_resource("no memory on the device"); });
    job.world->barrier(job.stream, kDispatch);
    std::this_thread::sleep_for(std::chrono::seconds(30));
  }
  wait_for_others(job);
}

/// Rank 0 sends 8 bytes to rank 1, which expects 16; rank 1 tells and aborts.
void disagree() {
  Job job = make_job(1800.0);
  const int rank = job.world->rank();
  const std::string send(64, 'a');
  std::string recv(64, 'b');
  const size_t size = static_cast<size_t>(job.world->size());
  AllToAllArgs args{send.data(), recv.data(), 8, std::vector<int64_t>(size),
                    std::vector<int64_t>(size)};
  if (rank == 0) args.send_rows[1] = 1;
  if (rank == 1) args.recv_rows[0] = 2;
  job.world->all_to_all_v(job.stream, args, kDispatch);
  try {
    job.backend->record(job.stream).synchronize();
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    job.world->abort(static_cast<int>(e.kind()));
  }
  wait_for_others(job);
}

int end_job(const std::string& how) {
  const std::map<std::string, std::function<void()>> ways = {{"killed", be_killed},
                                                             {"abort", abort_job},
                                                             {"late", be_late},
                                                             {"failed-stream", fail_stream},
                                                             {"disagree", disagree}};
  const auto way = ways.find(how);
  if (way == ways.end()) return 99;
  way->second();
  return 0;
}

/// The ranks' worst result: failures, or no test at all.
int agreed_exit_code(int own) {
  const bool has_run = testing::UnitTest::GetInstance()->test_to_run_count() > 0;
  const std::unique_ptr<Backend> backend = backend_of(BackendKind::kCpu);
  const auto world = make_mpi_communicator(mpi(), *backend, {});
  ControlChannel control(*backend, *world);
  return static_cast<int>(control.all_max(has_run ? own : 1, {-1, -1, -1, "exit code"}));
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  switchyard::mpi() = switchyard::start_mpi();
  const int code =
      argc > 1 ? switchyard::end_job(argv[1]) : switchyard::agreed_exit_code(RUN_ALL_TESTS());
  switchyard::mpi().reset();
  return code;
}
