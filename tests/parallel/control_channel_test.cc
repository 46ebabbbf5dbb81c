#include "parallel/control_channel.h"

#include <gtest/gtest.h>

#include <new>
#include <stdexcept>
#include <string>

#include "kernels/base/error.h"
#include "parallel/thread_communicator.h"

namespace switchyard {
namespace {

const CollectiveLabel kLabel{1, -1, -1, "check"};

/// What agree() throws if rank r does `work(r)`: "KIND MESSAGE", or "" if nothing, alike on all
/// ranks.
std::string agreed(int size, const std::function<void(int rank)>& work) {
  std::vector<std::string> results(static_cast<size_t>(size));
  BackendOptions options;
  options.kind = BackendKind::kStrict;
  run_ranks(size, {}, options, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    try {
      control.agree([&] { work(world.rank()); }, kLabel);
    } catch (const AgreedError& e) {
      results[static_cast<size_t>(world.rank())] =
          concat(static_cast<int>(e.kind()), " ", e.what());
    }
  });
  for (const std::string& result : results) EXPECT_EQ(result, results[0]);
  return results[0];
}

TEST(ControlChannelTest, AgreesThatAllIsWell) {
  EXPECT_EQ(agreed(3, [](int) {}), "");
}

TEST(ControlChannelTest, AgreesOnTheLowestFailingRank) {
  const std::string result = agreed(4, [](int rank) {
    if (rank == 1) fail_resource("no memory");
    if (rank == 3) fail_input("no file");
  });
  EXPECT_EQ(result, "4 rank 1: no memory");
}

TEST(ControlChannelTest, WhatAllRanksFindHasNoRank) {
  EXPECT_EQ(agreed(3, [](int rank) { fail_usage("option of rank ", rank); }), "2 option of rank 0");
  EXPECT_EQ(agreed(1, [](int) { fail_usage("option"); }), "2 option");
}

TEST(ControlChannelTest, OtherExceptionsHaveTheirKinds) {
  EXPECT_EQ(agreed(2,
                   [](int rank) {
                     if (rank == 1) throw std::bad_alloc();
                   }),
            "4 rank 1: out of memory");
  EXPECT_EQ(agreed(2,
                   [](int rank) {
                     if (rank == 0) throw std::out_of_range("index");
                   }),
            "5 rank 0: index");
}

TEST(ControlChannelTest, AnEmptyMessageIsAFailureToo) {
  EXPECT_EQ(agreed(2,
                   [](int rank) {
                     if (rank == 1) throw Error(ErrorKind::kInput, "");
                   }),
            "3 rank 1: ");
}

TEST(ControlChannelTest, AnAgreedErrorInsideIsAgreedOnOnce) {
  BackendOptions options;
  options.kind = BackendKind::kCpu;
  run_ranks(3, {}, options, [](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    try {
      control.agree(
          [&] {
            control.agree(
                [&] {
                  if (world.rank() == 2) fail_input("bad");
                },
                kLabel);
          },
          kLabel);
      ADD_FAILURE() << "no error";
    } catch (const AgreedError& e) {
      EXPECT_STREQ(e.what(), "rank 2: bad");
    }
  });
}

TEST(ControlChannelTest, WithoutPeersARankTellsItsOwnError) {
  BackendOptions options;
  options.kind = BackendKind::kCpu;
  try {
    run_ranks(2, {}, options, [](Backend& backend, Communicator& world) {
      ControlChannel control(backend, world);
      if (world.rank() == 1) return;
      control.agree([] { fail_input("line 7 is bad"); }, kLabel);
    });
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    EXPECT_STREQ(e.what(), "line 7 is bad");
  }
}

}  // namespace
}  // namespace switchyard
