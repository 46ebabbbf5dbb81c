// Traces on their way from all ranks to a file and back, and files that are none.
#include "runtime/run_report/trace_file.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "parallel/thread_communicator.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// Writes what each rank's events are, `num_ranks` of them as threads.
void write_as_threads(int num_ranks, const std::string& path,
                      const std::function<void(int rank, Trace&)>& fill) {
  run_ranks(num_ranks, {}, {}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    Trace trace;
    fill(control.rank(), trace);
    std::vector<RankStats> ranks(control.rank() == 0 ? static_cast<size_t>(num_ranks) : 0);
    if (!ranks.empty()) ranks[0].host = "node \"a\"";
    std::optional<StagedFile> file;
    if (control.rank() == 0) file.emplace(path);
    // Each rank's clock has a beginning of its own.
    write_trace({"abc", ranks, 100.0 * control.rank()}, trace, file ? &*file : nullptr, control);
  });
}

void three_events(int rank, Trace& trace) {
  const double start = 100.0 * rank;
  trace.add({TraceTrack::kCompute, 0, "experts", start + 0.512345, start + 1.5, 3});
  if (rank == 1) return;
  trace.add({TraceTrack::kWait, 0, "wait", start + 0.25, start + 0.5, 3, 17});
  trace.add({TraceTrack::kLoad, 1, "load \"x\"", start + 0.125, start + 0.5, 5, 300, 4096});
}

TEST(TraceFile, IsReadAsItWasWritten) {
  const TempFolder folder;
  const std::string path = folder.path("trace.json");
  write_as_threads(3, path, three_events);
  const TraceFile trace = read_trace_file(path);
  EXPECT_EQ(trace.fingerprint, "abc");
  ASSERT_EQ(trace.ranks.size(), 3u);
  EXPECT_EQ(trace.ranks[0].name, "rank 0 on node \"a\"");
  EXPECT_EQ(trace.ranks[2].name, "rank 2");
  EXPECT_EQ(trace.ranks[1].events.size(), 1u);
  for (const RankTrace& rank : trace.ranks) {
    EXPECT_EQ(rank.num_dropped, 0);
    const TraceEvent& compute = rank.events.at(0);
    EXPECT_EQ(compute.name, "experts");
    EXPECT_NEAR(compute.begin, 0.512345, 1e-9);
    EXPECT_NEAR(compute.end, 1.5, 1e-9);
    EXPECT_EQ(compute.layer, 3);
    EXPECT_EQ(compute.expert, -1);
  }
  const TraceEvent& load = trace.ranks[2].events.at(2);
  EXPECT_EQ(load.track, TraceTrack::kLoad);
  EXPECT_EQ(load.lane, 1);
  EXPECT_EQ(load.name, "load \"x\"");
  EXPECT_EQ(load.expert, 300);
  EXPECT_EQ(load.bytes, 4096);
  EXPECT_EQ(trace.ranks[2].events.at(1).track, TraceTrack::kWait);
  EXPECT_FALSE(std::filesystem::exists(path + ".tmp"));
}

TEST(TraceFile, IsWhatTraceViewersRead) {
  const TempFolder folder;
  write_as_threads(2, folder.path("trace.json"), three_events);
  const json::value root = json::parse(folder.read("trace.json"));
  int64_t num_events = 0;
  std::vector<std::string> names;
  for (const json::value& entry : root.as_array()) {
    EXPECT_TRUE(entry.at("pid").is_int64());
    if (entry.at("ph") == "M") {
      const json::value* name = entry.at("args").as_object().if_contains("name");
      if (name != nullptr) names.push_back(std::string(name->as_string()));
      continue;
    }
    ++num_events;
    EXPECT_EQ(entry.at("ph"), "X");
    EXPECT_TRUE(entry.at("ts").is_number());
    EXPECT_GE(entry.at("dur").to_number<double>(), 0.0);
    EXPECT_TRUE(entry.at("tid").is_int64());
  }
  EXPECT_EQ(num_events, 4);
  EXPECT_EQ(names, (std::vector<std::string>{"rank 0 on node \"a\"", "compute", "wait for experts",
                                             "load 0", "load 1", "rank 1", "compute",
                                             "wait for experts"}));
}

TEST(TraceFile, ManyEventsTravelInParts) {
  const TempFolder folder;
  constexpr int64_t kEvents = 70000;
  write_as_threads(2, folder.path("trace.json"), [](int rank, Trace& trace) {
    for (int64_t i = 0; rank == 1 && i < kEvents; ++i) {
      trace.add({TraceTrack::kLoad, 0, "load", 100.0, 101.0, -1, i});
    }
  });
  const TraceFile trace = read_trace_file(folder.path("trace.json"));
  EXPECT_TRUE(trace.ranks[0].events.empty());
  ASSERT_EQ(trace.ranks[1].events.size(), static_cast<size_t>(kEvents));
  for (int64_t i = 0; i < kEvents; ++i) {
    ASSERT_EQ(trace.ranks[1].events[static_cast<size_t>(i)].expert, i);
  }
}

TEST(TraceFile, WhatCannotBeIsRefusedByLine) {
  const TempFolder folder;
  write_as_threads(1, folder.path("good.json"), three_events);
  const std::string good = folder.read("good.json");
  const auto refused = [&](const std::string& text, std::initializer_list<std::string_view> parts) {
    const std::string path = folder.write("bad.json", text);
    expect_error(ErrorKind::kInput, parts, [&] { read_trace_file(path); });
  };
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, text.npos) << from;
    return text.replace(at, from.size(), to);
  };
  refused("", {"bad.json", "ends early", "--trace"});
  refused("{}\n", {"bad.json:1: is no trace"});
  refused("[\n{\"name\":\"x\"},\n]\n", {"bad.json:2: is no trace of this program"});
  refused(replaced("\"version\":1", "\"version\":2"), {"another version"});
  refused(replaced("\"dropped\":[0]", "\"dropped\":[]"), {"no rank"});
  refused(replaced("\n]\n", "\n"), {"ends early"});
  refused(good + "[\n", {"goes on behind its end"});
  refused(replaced("\"ph\":\"X\"", "\"ph\":\"B\""), {"bad.json:", "ph: expected M or X"});
  refused(
      replaced("\"pid\":0,\"tid\":0,\"args\":{\"layer\"", "\"pid\":1,\"tid\":0,\"args\":{\"x\""),
      {"bad.json:", "pid: expected a whole number from 0 to 0"});
  refused(replaced("\"ts\":512345.0", "\"ts\":\"now\""), {"bad.json:", "ts: expected a number"});
  refused(replaced("\"ts\":512345.0", "\"ts\":"), {"bad.json:", "no valid JSON"});
  expect_error(ErrorKind::kInput, {"absent.json"},
               [&] { read_trace_file(folder.path("absent.json")); });
}

TEST(TraceFile, AFileThatCannotGrowIsToldOnEveryRank) {
  run_ranks(2, {}, {}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    Trace trace;
    const std::vector<RankStats> ranks(2);
    std::optional<StagedFile> file;
    const TempFolder folder;
    if (control.rank() == 0) {
      file.emplace(folder.path("trace.json"));
      std::filesystem::remove(folder.path("trace.json.tmp"));  // so that it has no name to give
    }
    EXPECT_THROW(write_trace({"abc", ranks, 0.0}, trace, file ? &*file : nullptr, control),
                 AgreedError);
  });
}

}  // namespace
}  // namespace switchyard
