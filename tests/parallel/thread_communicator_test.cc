#include "parallel/thread_communicator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "kernels/base/error.h"
#include "parallel/control_channel.h"
#include "parallel/local_communicator.h"
#include "tests/parallel/communicator_checks.h"

namespace switchyard {
namespace {

BackendOptions options_of(BackendKind kind) {
  BackendOptions options;
  options.kind = kind;
  return options;
}

CollectiveLabel label_of(int64_t step, int layer, const char* phase) {
  CollectiveLabel label;
  label.step = step;
  label.layer = layer;
  label.phase = phase;
  return label;
}

/// Runs `body` on all ranks and gives each rank's error, "" where there was none; an error of
/// another kind than kPeer is marked.
std::vector<std::string> errors_of(int size, const ThreadWorldOptions& options,
                                   const std::function<void(Backend&, Communicator&)>& body) {
  std::vector<std::string> errors(static_cast<size_t>(size));
  const auto catching = [&](Backend& backend, Communicator& world) {
    std::string& error = errors[static_cast<size_t>(world.rank())];
    try {
      body(backend, world);
    } catch (const Error& e) {
      error = (e.kind() == ErrorKind::kPeer ? "" : "not of a peer: ") + std::string(e.what());
    }
  };
  run_ranks(size, options, options_of(BackendKind::kCpu), catching);
  return errors;
}

class ThreadCommunicatorTest : public testing::TestWithParam<std::tuple<int, BackendKind>> {};

TEST_P(ThreadCommunicatorTest, MovesEveryByteToItsPlace) {
  const auto [size, kind] = GetParam();
  run_ranks(size, {}, options_of(kind), [](Backend& backend, Communicator& world) {
    EXPECT_EQ(world.transport(), "threads");
    check_everything(backend, world);
  });
}

std::string name_of_case(const testing::TestParamInfo<std::tuple<int, BackendKind>>& info) {
  const auto [size, kind] = info.param;
  return concat(kind == BackendKind::kStrict ? "strict" : "cpu", "_", size);
}

INSTANTIATE_TEST_SUITE_P(Ranks, ThreadCommunicatorTest,
                         testing::Combine(testing::Values(1, 2, 3, 4, 7, 16),
                                          testing::Values(BackendKind::kCpu, BackendKind::kStrict)),
                         name_of_case);

TEST(ThreadCommunicatorManyRanksTest, SixtyFourRanksExchange) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kStrict}) {
    run_ranks(64, {}, options_of(kind), [](Backend& backend, Communicator& world) {
      check_all_to_all(backend, world, {RowCounts::kSparse, 40, 3});
      check_all_to_all(backend, world, {RowCounts::kToOne, 1, 4});
      const std::unique_ptr<Communicator> group = world.split(world.rank() % 8, world.rank());
      check_all_to_all(backend, *group, {RowCounts::kRandom, 8, 5});
      ControlChannel control(backend, world);
      EXPECT_EQ(control.all_sum(1, label_of(0, 0, "count")), 64);
    });
  }
}

TEST(LocalCommunicatorTest, MovesEveryByteToItsPlace) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kStrict}) {
    const std::unique_ptr<Backend> backend = make_backend(options_of(kind));
    LocalCommunicator local(*backend);
    EXPECT_EQ(local.transport(), "local");
    check_everything(*backend, local);
    local.abort(3);  // returns
  }
}

TEST(ThreadCommunicatorErrorsTest, RefusesSizesOutOfRange) {
  EXPECT_THROW(ThreadWorld(0), Error);
  EXPECT_THROW(ThreadWorld(65), Error);
  EXPECT_NO_THROW(ThreadWorld(64));
}

TEST(ThreadCommunicatorErrorsTest, RefusesCountsThatCannotBe) {
  run_ranks(2, {}, options_of(BackendKind::kCpu), [](Backend& backend, Communicator& world) {
    Stream stream = backend.make_stream(StreamKind::kExchange);
    const CollectiveLabel label = label_of(1, 2, "dispatch");
    AllToAllArgs args{nullptr, nullptr, 1, {0}, {0, 0}};
    EXPECT_THROW(world.all_to_all_v(stream, args, label), Error) << "counts for one rank";
    args.send_rows = {-1, -1};
    args.recv_rows = {-1, -1};
    EXPECT_THROW(world.all_to_all_v(stream, args, label), Error) << "negative counts";
    args.send_rows = {1, 1};
    args.recv_rows = {2, 2};
    EXPECT_THROW(world.all_to_all_v(stream, args, label), Error) << "own rows differ";
    EXPECT_THROW(world.broadcast(stream, nullptr, 0, 2, label), Error) << "no such root";
    EXPECT_THROW(world.all_gather_v(stream, nullptr, nullptr, {0, -1}, label), Error);
  });
}

/// Runs one collective per rank and waits for it.
using OneCollective = std::function<void(Communicator& world, Stream& stream, int rank)>;

std::vector<std::string> errors_of_collective(int size, const OneCollective& collective) {
  return errors_of(size, {}, [&](Backend& backend, Communicator& world) {
    Stream stream = backend.make_stream(StreamKind::kExchange);
    collective(world, stream, world.rank());
    backend.record(stream).synchronize();
  });
}

void expect_all_contain(const std::vector<std::string>& errors,
                        const std::vector<std::string>& parts) {
  for (size_t r = 0; r < errors.size(); ++r) {
    for (const std::string& part : parts) {
      EXPECT_NE(errors[r].find(part), std::string::npos)
          << "rank " << r << ": '" << part << "' is not in: " << errors[r];
    }
  }
}

TEST(ThreadCommunicatorErrorsTest, DifferentLabelsAreNamedOnEveryRank) {
  const auto errors = errors_of_collective(4, [](Communicator& world, Stream& stream, int rank) {
    world.barrier(stream, rank == 2 ? label_of(3, 1, "combine") : label_of(3, 1, "dispatch"));
  });
  expect_all_contain(errors, {"ranks disagree", "rank 2", "'step 3, layer 1, combine'",
                              "'step 3, layer 1, dispatch'"});
  for (const std::string& error : errors) EXPECT_EQ(error, errors[0]);
}

TEST(ThreadCommunicatorErrorsTest, DifferentStepsAreNamed) {
  const auto errors = errors_of_collective(2, [](Communicator& world, Stream& stream, int rank) {
    world.barrier(stream, label_of(rank, 1, "dispatch"));
  });
  expect_all_contain(errors, {"step 0, layer 1, dispatch", "step 1, layer 1, dispatch"});
}

TEST(ThreadCommunicatorErrorsTest, DifferentOperationsAreNamed) {
  const auto errors = errors_of_collective(3, [](Communicator& world, Stream& stream, int rank) {
    const CollectiveLabel label = label_of(3, 1, "dispatch");
    if (rank == 1) {
      world.broadcast(stream, nullptr, 0, 0, label);
    } else {
      world.barrier(stream, label);
    }
  });
  expect_all_contain(errors, {"rank 1 is in", "(barrier)", "(broadcast)"});
}

TEST(ThreadCommunicatorErrorsTest, DifferentRootsAreNamed) {
  const auto errors = errors_of_collective(2, [](Communicator& world, Stream& stream, int rank) {
    world.broadcast(stream, nullptr, 0, rank, label_of(3, 1, "header"));
  });
  expect_all_contain(errors, {"of root 0", "of root 1"});
}

TEST(ThreadCommunicatorErrorsTest, DifferentCountsAreNamed) {
  // Rank 0 sends 2 rows to rank 1, which expects 3.
  const auto named = errors_of_collective(2, [](Communicator& world, Stream& stream, int rank) {
    static const std::string send(64, 'a');
    static std::vector<std::string> recv(2, std::string(64, 'b'));
    AllToAllArgs args{send.data(), recv[static_cast<size_t>(rank)].data(), 8, {0, 2}, {0, 0}};
    if (rank == 1) {
      args.send_rows = {0, 0};
      args.recv_rows = {3, 0};
    }
    world.all_to_all_v(stream, args, label_of(3, 1, "dispatch"));
  });
  expect_all_contain(named, {"rank 0 sends 2 rows of 8 bytes", "rank 1 expects 3 rows of 8 bytes",
                             "step 3, layer 1, dispatch"});
}

TEST(ThreadCommunicatorErrorsTest, DifferentRowSizesAreNamed) {
  const auto errors = errors_of_collective(2, [](Communicator& world, Stream& stream, int rank) {
    const AllToAllArgs args{nullptr, nullptr, 8 + rank, {0, 0}, {0, 0}};
    world.all_to_all_v(stream, args, label_of(3, 1, "dispatch"));
  });
  expect_all_contain(errors, {"with rows of ", "8", " and of ", "9"});
}

TEST(ThreadCommunicatorErrorsTest, ADeadlockIsReportedWithEveryRanksPlace) {
  ThreadWorldOptions options;
  options.deadline_seconds = 0.3;
  // Rank 0 waits in the parent's barrier, rank 1 in the child's, rank 2 in nothing.
  std::atomic<bool> has_failed = false;
  const auto errors = errors_of(3, options, [&](Backend& backend, Communicator& world) {
    const std::unique_ptr<Communicator> child = world.split(0, world.rank());
    Stream stream = backend.make_stream(StreamKind::kExchange);
    if (world.rank() == 0) world.barrier(stream, label_of(7, 2, "outer"));
    if (world.rank() == 1) child->barrier(stream, label_of(7, 2, "inner"));
    if (world.rank() == 2) {
      while (!has_failed) std::this_thread::sleep_for(std::chrono::milliseconds(5));
      world.barrier(stream, label_of(7, 2, "outer"));
    }
    try {
      backend.record(stream).synchronize();
    } catch (const Error&) {
      has_failed = true;
      throw;
    }
  });
  expect_all_contain(errors, {"no progress", "0.3 s", "rank 0: waits in 'step 7, layer 2, outer'",
                              "rank 1: waits in 'step 7, layer 2, inner'",
                              "rank 2: has not arrived; its last collective was 'split'"});
}

TEST(ThreadCommunicatorErrorsTest, PatienceForEverHasNoDeadline) {
  ThreadWorldOptions options;
  options.deadline_seconds = 0.05;
  const auto errors = errors_of(2, options, [&](Backend& backend, Communicator& world) {
    Stream stream = backend.make_stream(StreamKind::kExchange);
    if (world.rank() == 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    CollectiveLabel label = label_of(0, 0, "header");
    label.patience = Patience::kForever;
    world.barrier(stream, label);
    backend.record(stream).synchronize();
  });
  for (const std::string& error : errors) EXPECT_EQ(error, "");
}

TEST(ThreadCommunicatorErrorsTest, ARankThatLeavesIsNamed) {
  const auto errors = errors_of_collective(3, [](Communicator& world, Stream& stream, int rank) {
    if (rank != 1) world.barrier(stream, label_of(3, 1, "dispatch"));
  });
  EXPECT_EQ(errors[1], "");
  expect_all_contain({errors[0], errors[2]}, {"rank 1 has left", "step 3, layer 1, dispatch"});
}

TEST(ThreadCommunicatorErrorsTest, AbortFreesTheOthers) {
  const auto errors = errors_of_collective(3, [](Communicator& world, Stream& stream, int rank) {
    if (rank == 2) {
      world.abort(4);
    } else {
      world.barrier(stream, label_of(3, 1, "dispatch"));
    }
  });
  expect_all_contain({errors[0], errors[1]}, {"rank 2 ended the job with exit status 4"});
}

TEST(ThreadCommunicatorErrorsTest, TheRootCauseIsRethrown) {
  for (const int guilty : {0, 3}) {
    try {
      run_ranks(4, {}, options_of(BackendKind::kStrict),
                [&](Backend& backend, Communicator& world) {
                  ControlChannel control(backend, world);
                  control.barrier(label_of(1, 0, "start"));
                  if (world.rank() == guilty) fail_input("file ", guilty, " is cut short");
                  control.barrier(label_of(2, 0, "end"));
                });
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::kInput);
      EXPECT_EQ(e.what(), concat("file ", guilty, " is cut short"));
    }
  }
}

TEST(ThreadCommunicatorErrorsTest, ABackendThatCannotBeMadeIsTold) {
  BackendOptions options = options_of(BackendKind::kCpu);
  options.num_threads = -1;
  EXPECT_THROW(run_ranks(2, {}, options, [](Backend&, Communicator&) {}), Error);
}

TEST(ThreadCommunicatorErrorsTest, AFailedStreamDoesNotKeepTheOthersWaiting) {
  // Rank 1's stream fails before the exchange. Its host then waits for a word of rank 0, which
  // waits for the exchange: without news of the failure both would wait for the deadline.
  ThreadWorldOptions options;
  options.deadline_seconds = 0;
  const auto body = [](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    Stream stream = backend.make_stream(StreamKind::kExchange);
    if (world.rank() == 1) {
      backend.run_on_host(stream, [] { fail_resource("no memory left on the device"); });
    }
    world.barrier(stream, label_of(3, 1, "dispatch"));
    if (world.rank() == 0) backend.record(stream).synchronize();
    control.barrier(label_of(3, 1, "word"));
    backend.record(stream).synchronize();
  };
  const auto told = errors_of(2, options, body);
  expect_all_contain(told, {"rank 1 cannot take part in 'step 3, layer 1, dispatch'"});
}

TEST(ThreadCommunicatorErrorsTest, FailuresWhileOthersCopyDoNoHarm) {
  // Rank 0 breaks the job at different moments while exchanges of the others are under way; a
  // sanitizer sees a buffer that is read after its owner has gone.
  for (int moment = 0; moment < 20; ++moment) {
    ThreadWorldOptions options;
    options.seed = static_cast<uint64_t>(moment) + 1;
    errors_of(4, options, [&](Backend& backend, Communicator& world) {
      const std::unique_ptr<Communicator> group = world.split(world.rank() == 0 ? 0 : 1, 0);
      if (world.rank() == 0) {
        std::this_thread::sleep_for(std::chrono::microseconds(100 * moment));
        world.abort(1);
        return;
      }
      for (int i = 0; i < 20; ++i) {
        check_all_to_all(backend, *group, {RowCounts::kRandom, 3000, static_cast<uint64_t>(i)});
      }
    });
  }
}

TEST(CollectiveLabelTest, NamesWhatIsSet) {
  EXPECT_EQ(label_of(3, 1, "dispatch").text(), "step 3, layer 1, dispatch");
  EXPECT_EQ(label_of(-1, -1, "split").text(), "split");
  CollectiveLabel label = label_of(0, 0, "x");
  label.round = 2;
  EXPECT_EQ(label.text(), "step 0, layer 0, round 2, x");
}

}  // namespace
}  // namespace switchyard
