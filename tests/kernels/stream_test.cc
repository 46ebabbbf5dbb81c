#include <atomic>
#include <future>
#include <thread>

#include "kernels/cpu/strict_backend.h"
#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

const BackendKind kKinds[] = {BackendKind::kCpu, BackendKind::kStrict};

std::unique_ptr<Backend> make(BackendKind kind) {
  return make_backend({kind, InstructionSet::kAuto, 1, 3});
}

[[noreturn]] void fail_task(const char* message) { throw std::runtime_error(message); }

void expect_runtime_error(const Event& event, const std::string& message) {
  try {
    event.synchronize();
    FAIL() << "no error";
  } catch (const std::runtime_error& error) {
    EXPECT_EQ(error.what(), message);
  }
}

TEST(Stream, ADefaultEventIsComplete) {
  const Event event;
  EXPECT_TRUE(event.is_complete());
  event.synchronize();
  const auto backend = make(BackendKind::kStrict);
  Stream stream = backend->make_stream(StreamKind::kCopy);
  backend->wait(stream, event);
  backend->record(stream).synchronize();
}

TEST(Stream, TasksRunInOrder) {
  for (const BackendKind kind : kKinds) {
    const auto backend = make(kind);
    for (const StreamKind use : {StreamKind::kCompute, StreamKind::kExchange, StreamKind::kCopy}) {
      Stream stream = backend->make_stream(use);
      std::vector<int> order;
      for (int i = 0; i < 200; ++i) {
        backend->run_on_host(stream, [&order, i] { order.push_back(i); });
      }
      backend->record(stream).synchronize();
      ASSERT_EQ(order.size(), 200u);
      EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    }
  }
}

TEST(Stream, OtherStreamsRunBesideTheCaller) {
  for (const BackendKind kind : kKinds) {
    const auto backend = make(kind);
    Stream compute = backend->make_stream(StreamKind::kCompute);
    Stream exchange = backend->make_stream(StreamKind::kExchange);
    Stream copy = backend->make_stream(StreamKind::kCopy);
    std::promise<void> open;
    backend->run_on_host(exchange, [gate = open.get_future().share()] { gate.wait(); });
    const Event exchanged = backend->record(exchange);
    int done = 0;
    backend->run_on_host(compute, [&done] { ++done; });
    backend->record(compute).synchronize();
    backend->run_on_host(copy, [&done] { ++done; });
    backend->record(copy).synchronize();
    EXPECT_EQ(done, 2);
    EXPECT_FALSE(exchanged.is_complete());
    EXPECT_THROW(exchanged.completion_time(), Error);
    open.set_value();
    exchanged.synchronize();
    EXPECT_TRUE(exchanged.is_complete());
  }
}

TEST(Stream, WaitOrdersStreams) {
  for (const BackendKind kind : kKinds) {
    const auto backend = make(kind);
    Stream compute = backend->make_stream(StreamKind::kCompute);
    Stream exchange = backend->make_stream(StreamKind::kExchange);
    std::vector<int> order;
    for (int round = 0; round < 50; ++round) {
      backend->run_on_host(exchange, [&order, round] { order.push_back(2 * round); });
      backend->wait(compute, backend->record(exchange));
      backend->run_on_host(compute, [&order, round] { order.push_back(2 * round + 1); });
      backend->wait(exchange, backend->record(compute));
    }
    backend->record(exchange).synchronize();
    ASSERT_EQ(order.size(), 100u);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<size_t>(i)], i);
  }
}

TEST(Stream, CompletionTimesAscend) {
  for (const BackendKind kind : kKinds) {
    const auto backend = make(kind);
    Stream stream = backend->make_stream(StreamKind::kExchange);
    const Event first = backend->record(stream);
    backend->run_on_host(stream, [] { std::this_thread::sleep_for(std::chrono::milliseconds(2)); });
    const Event second = backend->record(stream);
    second.synchronize();
    ASSERT_TRUE(first.is_complete());
    EXPECT_GE(second.completion_time() - first.completion_time(), 0.002);
  }
}

TEST(Stream, AFailedTaskStopsItsStream) {
  for (const BackendKind kind : kKinds) {
    const auto backend = make(kind);
    Stream stream = backend->make_stream(StreamKind::kCopy);
    const Event before = backend->record(stream);
    backend->run_on_host(stream, [] { fail_task("first"); });
    backend->run_on_host(stream, [] { fail_task("second"); });
    bool ran = false;
    backend->run_on_host(stream, [&ran] { ran = true; });
    expect_runtime_error(backend->record(stream), "first");
    expect_runtime_error(backend->record(stream), "first");
    EXPECT_FALSE(ran);
    before.synchronize();
  }
}

TEST(Stream, AnInlineFailureSurfacesAtOnceAndStays) {
  const auto backend = make(BackendKind::kCpu);
  Stream stream = backend->make_stream(StreamKind::kCompute);
  EXPECT_THROW(backend->run_on_host(stream, [] { fail_task("broken"); }), std::runtime_error);
  bool ran = false;
  backend->run_on_host(stream, [&ran] { ran = true; });
  EXPECT_FALSE(ran);
  expect_runtime_error(backend->record(stream), "broken");
}

TEST(Stream, ErrorsReachTheStreamsThatWait) {
  const auto strict = make(BackendKind::kStrict);
  Stream exchange = strict->make_stream(StreamKind::kExchange);
  Stream compute = strict->make_stream(StreamKind::kCompute);
  strict->run_on_host(exchange, [] { fail_task("peer lost"); });
  strict->wait(compute, strict->record(exchange));
  bool ran = false;
  strict->run_on_host(compute, [&ran] { ran = true; });
  expect_runtime_error(strict->record(compute), "peer lost");
  EXPECT_FALSE(ran);

  const auto cpu = make(BackendKind::kCpu);
  Stream cpu_exchange = cpu->make_stream(StreamKind::kExchange);
  Stream cpu_compute = cpu->make_stream(StreamKind::kCompute);
  cpu->run_on_host(cpu_exchange, [] { fail_task("peer lost"); });
  const Event event = cpu->record(cpu_exchange);
  EXPECT_THROW(cpu->wait(cpu_compute, event), std::runtime_error);
}

TEST(Stream, TheDestructorFinishesTheWork) {
  for (const BackendKind kind : kKinds) {
    const auto backend = make(kind);
    int done = 0;
    Event last;
    {
      Stream stream = backend->make_stream(StreamKind::kCopy);
      for (int i = 0; i < 100; ++i) backend->run_on_host(stream, [&done] { ++done; });
      last = backend->record(stream);
    }
    EXPECT_EQ(done, 100);
    EXPECT_TRUE(last.is_complete());
  }
}

TEST(Stream, ManyThreadsMaySynchronizeWithOneFailure) {
  const auto backend = make(BackendKind::kStrict);
  Stream stream = backend->make_stream(StreamKind::kExchange);
  backend->run_on_host(stream, [] { fail_task("shared"); });
  const Event event = backend->record(stream);
  std::atomic<int> seen{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&event, &seen] {
      try {
        event.synchronize();
      } catch (const std::runtime_error& error) {
        seen += std::string(error.what()) == "shared" ? 1 : 0;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(seen, 4);
}

TEST(Stream, StrictDelaysAreRareBoundedAndRepeatable) {
  int delayed = 0;
  int differ = 0;
  for (uint64_t task = 0; task < 16000; ++task) {
    const int64_t delay = strict_delay(7, 2, task);
    EXPECT_EQ(delay, strict_delay(7, 2, task));
    ASSERT_TRUE(delay >= 0 && delay < 200);
    delayed += delay > 0 ? 1 : 0;
    differ += delay != strict_delay(8, 2, task) || delay != strict_delay(7, 3, task) ? 1 : 0;
  }
  EXPECT_NEAR(delayed, 1000, 150);
  EXPECT_GT(differ, 1000);
}

}  // namespace
}  // namespace switchyard::testing
