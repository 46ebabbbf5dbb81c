#include "parallel/warm_up.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "parallel/thread_communicator.h"
#include "parallel/token_dispatcher.h"

namespace switchyard {
namespace {

void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
  }
}

TEST(WarmUpTest, RunsEveryPhaseOnceOnEveryRankInOrder) {
  run_ranks(3, {}, {}, [](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    std::string order;
    warm_up(control, {{"first", [&](const CollectiveLabel& label) { order += label.text(); }},
                      {"second", [&](const CollectiveLabel& label) { order += label.text(); }}});
    EXPECT_EQ(order, "firstsecond");
  });
}

TEST(WarmUpTest, AFailureNamesRankAndPhase) {
  try {
    run_ranks(3, {}, {}, [](Backend& backend, Communicator& world) {
      ControlChannel control(backend, world);
      warm_up(control, {{"dispatch", [&](const CollectiveLabel&) {
                           if (world.rank() == 2) fail_resource("no memory to connect");
                         }}});
    });
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kResource);
    expect_parts(error.what(), {"first dispatch", "rank 2", "no memory to connect"});
  }
}

TEST(WarmUpTest, TheTableHasEveryRankAndTheSlowest) {
  const std::string table =
      warm_up_table({{"counts", {}}, {"dispatch", {}}}, {{1.5, 20.0}, {2.25, 10.0}});
  expect_parts(table, {"rank", "counts", "dispatch", "1.50", "10.00"});
  EXPECT_NE(table.find("2.25", table.find("slowest")), std::string::npos) << table;
  EXPECT_NE(table.find("20.00", table.find("slowest")), std::string::npos) << table;
}

/// All phases of a dispatcher; more ranks than rows leave nothing to send.
void check_dispatcher(Backend& backend, Communicator& world, int64_t max_rows) {
  ControlChannel control(backend, world);
  Stream compute = backend.make_stream(StreamKind::kCompute);
  Stream exchange = backend.make_stream(StreamKind::kExchange);
  TokenDispatcher dispatcher(backend, world, compute, exchange, {8, max_rows});
  const std::vector<WarmUpPhase> phases = dispatcher.warm_up_phases(6);
  EXPECT_EQ(phases.size(), 3u);
  warm_up(control, phases);
}

TEST(WarmUpTest, ADispatcherRunsItsExchanges) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kStrict}) {
    for (const int64_t max_rows : {0, 1, 17}) {
      BackendOptions options;
      options.kind = kind;
      run_ranks(4, {}, options, [&](Backend& backend, Communicator& world) {
        check_dispatcher(backend, world, max_rows);
      });
    }
  }
}

TEST(WarmUpTest, ItsPatienceIsShort) {
  EXPECT_EQ(deadline_of(Patience::kShort, 1800.0), 120.0);
  EXPECT_EQ(deadline_of(Patience::kShort, 5.0), 5.0);
  EXPECT_EQ(deadline_of(Patience::kShort, 0.0), 120.0) << "also where others have none";
  EXPECT_EQ(deadline_of(Patience::kDeadline, 1800.0), 1800.0);
  EXPECT_EQ(deadline_of(Patience::kForever, 1800.0), 0.0);
}

}  // namespace
}  // namespace switchyard
