// Phases as sums and as events.
#include "runtime/phase_clock.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(PhaseClock, PhasesBecomeEventsOfTheirLayers) {
  const std::unique_ptr<Backend> backend = make_backend({});
  Stream compute = backend->make_stream(StreamKind::kCompute);
  Trace trace;
  PhaseClock clock(*backend, compute, &trace);
  clock.begin(Phase::kDense);
  clock.enter_layer(3);
  clock.begin(Phase::kGate);
  clock.begin(Phase::kGate);  // goes on
  clock.begin(Phase::kGate, 4);
  clock.end();
  clock.enter_layer(-1);
  clock.begin(Phase::kIdle);
  clock.end();
  clock.collect();
  const std::vector<TraceEvent> events = trace.events();
  ASSERT_EQ(events.size(), 4u);
  const std::pair<std::string, int> expected[] = {
      {"dense", -1}, {"gate", 3}, {"gate", 4}, {"idle", -1}};
  double gate_seconds = 0.0;
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].name, expected[i].first);
    EXPECT_EQ(events[i].layer, expected[i].second);
    EXPECT_EQ(events[i].track, TraceTrack::kCompute);
    EXPECT_LE(events[i].begin, events[i].end);
    if (i > 0) {
      EXPECT_LE(events[i - 1].end, events[i].begin);
    }
    if (events[i].name == "gate") gate_seconds += events[i].end - events[i].begin;
  }
  EXPECT_NEAR(clock.seconds(Phase::kGate), gate_seconds, 1e-9);
}

TEST(PhaseClock, WithoutATraceOnlyTheSumsAreKept) {
  const std::unique_ptr<Backend> backend = make_backend({});
  Stream compute = backend->make_stream(StreamKind::kCompute);
  PhaseClock clock(*backend, compute);
  clock.begin(Phase::kExperts);
  clock.end();
  clock.collect();
  EXPECT_GE(clock.seconds(Phase::kExperts), 0.0);
  EXPECT_EQ(clock.seconds(Phase::kGate), 0.0);
}

}  // namespace
}  // namespace switchyard
