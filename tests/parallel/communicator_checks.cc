#include "tests/parallel/communicator_checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/mix_bits.h"
#include "parallel/control_channel.h"

namespace switchyard {
namespace {

constexpr char kGuard = '\x5a';
constexpr int64_t kGuardBytes = 64;

uint64_t key_of(uint64_t seed, int from, int to) {
  return mix_bits(mix_bits(seed * 4099 + static_cast<uint64_t>(from) + 1) +
                  static_cast<uint64_t>(to));
}

int64_t rows_between(const ExchangeCase& exchange, int size, int from, int to) {
  const int64_t random = static_cast<int64_t>(key_of(exchange.seed + 77, from, to) >> 40);
  switch (exchange.counts) {
    case RowCounts::kRandom:
      return random % 10;
    case RowCounts::kSparse:
      return random % 5 == 0 ? random % 40 : 0;
    case RowCounts::kNone:
      return 0;
    case RowCounts::kToOne:
      return to == size - 1 ? 1 + random % 20 : 0;
    case RowCounts::kFromOne:
      return from == 0 ? 1 + random % 20 : 0;
    case RowCounts::kSelfOnly:
      return from == to ? 1 + random % 20 : 0;
  }
  return 0;
}

/// What a failure of a comparison of long strings should say.
void expect_bytes(const std::string& actual, const std::string& expected, const char* what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i) {
    ASSERT_EQ(int{actual[i]}, int{expected[i]})
        << what << ": byte " << i << " of " << actual.size();
  }
}

CollectiveLabel label_of(int64_t step, const char* phase) {
  CollectiveLabel label;
  label.step = step;
  label.phase = phase;
  return label;
}

/// Of the clock that all processes of a machine share.
int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

/// One rank's side of an all-to-all: buffers filled, counts, and what must arrive.
struct Exchange {
  AllToAllArgs args;
  std::string expected;
  std::unique_ptr<DeviceBytes> send;
  std::unique_ptr<DeviceBytes> recv;
};

Exchange make_exchange(Backend& backend, Stream& stream, const Communicator& communicator,
                       const ExchangeCase& exchange) {
  const int me = communicator.rank();
  Exchange made;
  std::string content;
  for (int r = 0; r < communicator.size(); ++r) {
    const int64_t sent = rows_between(exchange, communicator.size(), me, r);
    const int64_t received = rows_between(exchange, communicator.size(), r, me);
    made.args.send_rows.push_back(sent);
    made.args.recv_rows.push_back(received);
    content += message(exchange.seed, me, r, sent * exchange.row_bytes);
    made.expected += message(exchange.seed, r, me, received * exchange.row_bytes);
  }
  made.send = std::make_unique<DeviceBytes>(backend, stream, content);
  made.recv =
      std::make_unique<DeviceBytes>(backend, stream, std::string(made.expected.size(), '\0'));
  made.args.send = made.send->data();
  made.args.recv = made.recv->data();
  made.args.row_bytes = exchange.row_bytes;
  return made;
}

}  // namespace

DeviceBytes::DeviceBytes(Backend& backend, Stream& stream, const std::string& content)
    : backend_(backend),
      stream_(stream),
      bytes_(static_cast<int64_t>(content.size())),
      memory_(backend.allocate(bytes_ + kGuardBytes)) {
  const std::string all = content + std::string(kGuardBytes, kGuard);
  backend_.copy_to_device(stream_, all.data(),
                          {memory_.data(), DType::kU8, {bytes_ + kGuardBytes}});
  backend_.record(stream_).synchronize();
}

std::string DeviceBytes::download() const {
  std::string all(static_cast<size_t>(bytes_ + kGuardBytes), '\0');
  backend_.copy_to_host(stream_, {memory_.data(), DType::kU8, {bytes_ + kGuardBytes}}, all.data());
  backend_.record(stream_).synchronize();
  EXPECT_EQ(all.substr(static_cast<size_t>(bytes_)), std::string(kGuardBytes, kGuard));
  return all.substr(0, static_cast<size_t>(bytes_));
}

std::string message(uint64_t seed, int from, int to, int64_t bytes) {
  const uint64_t key = key_of(seed, from, to);
  std::string text(static_cast<size_t>(bytes), '\0');
  uint64_t word = key;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i % 8 == 0) word = mix_bits(key + i);
    text[i] = static_cast<char>(word >> (8 * (i % 8)));
  }
  return text;
}

void check_all_to_all(Backend& backend, Communicator& communicator, const ExchangeCase& exchange) {
  Stream stream = backend.make_stream(StreamKind::kExchange);
  // Two in flight at once, and the second's rows return by a third, from where they arrived.
  ExchangeCase next = exchange;
  ++next.seed;
  const Exchange first = make_exchange(backend, stream, communicator, exchange);
  const Exchange second = make_exchange(backend, stream, communicator, next);
  communicator.all_to_all_v(stream, first.args, label_of(1, "first"));
  communicator.all_to_all_v(stream, second.args, label_of(1, "second"));
  AllToAllArgs back = second.args;
  std::swap(back.send_rows, back.recv_rows);
  back.send = second.args.recv;
  back.recv = const_cast<void*>(second.args.send);
  const std::string original = second.send->download();
  communicator.all_to_all_v(stream, back, label_of(1, "back"));
  expect_bytes(first.recv->download(), first.expected, "first");
  expect_bytes(second.recv->download(), second.expected, "second");
  expect_bytes(second.send->download(), original, "back");
}

void check_gathers(Backend& backend, Communicator& communicator, uint64_t seed) {
  Stream stream = backend.make_stream(StreamKind::kExchange);
  const int me = communicator.rank();
  const auto bytes_of = [&](int rank) {
    return static_cast<int64_t>(key_of(seed, rank, 0) >> 40) % 3000 * (rank % 3 == 1 ? 0 : 1);
  };
  std::vector<int64_t> counts;
  std::string uneven;
  std::string even;
  std::string in_place;
  for (int r = 0; r < communicator.size(); ++r) {
    counts.push_back(bytes_of(r));
    uneven += message(seed, r, 0, bytes_of(r));
    even += message(seed, r, 1, 700);
    in_place += r == me ? message(seed, r, 1, 700) : std::string(700, '\0');
  }
  const DeviceBytes own(backend, stream, message(seed, me, 0, bytes_of(me)));
  const DeviceBytes all(backend, stream, std::string(uneven.size(), '\0'));
  const DeviceBytes shared(backend, stream, in_place);
  communicator.all_gather_v(stream, own.data(), all.data(), counts, label_of(2, "uneven"));
  communicator.all_gather(stream, static_cast<char*>(shared.data()) + me * 700, shared.data(), 700,
                          label_of(2, "in place"));
  expect_bytes(all.download(), uneven, "all_gather_v");
  expect_bytes(shared.download(), even, "all_gather");
  for (int root = 0; root < communicator.size(); root += 1 + communicator.size() / 6) {
    const std::string sent = message(seed, root, 2, 1 + 997 * (root % 4));
    const DeviceBytes data(backend, stream, me == root ? sent : std::string(sent.size(), '\0'));
    communicator.broadcast(stream, data.data(), static_cast<int64_t>(sent.size()), root,
                           label_of(root, "broadcast"));
    expect_bytes(data.download(), sent, "broadcast");
  }
}

void check_barrier(Backend& backend, Communicator& communicator) {
  Stream stream = backend.make_stream(StreamKind::kExchange);
  const int size = communicator.size();
  for (int late = 0; late < size; late += 1 + size / 4) {
    if (communicator.rank() == late) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    const int64_t before = now_ns();
    communicator.barrier(stream, label_of(late, "barrier"));
    communicator.broadcast(stream, nullptr, 0, 0, label_of(late, "nothing"));
    backend.record(stream).synchronize();
    const int64_t after = now_ns();
    std::vector<int64_t> all_before(static_cast<size_t>(size));
    communicator.all_gather(stream, &before, all_before.data(), int64_t{sizeof(before)},
                            label_of(late, "times"));
    backend.record(stream).synchronize();
    EXPECT_GE(after, *std::max_element(all_before.begin(), all_before.end()));
  }
}

void check_split(Backend& backend, Communicator& communicator) {
  const int me = communicator.rank();
  const int size = communicator.size();
  const int color = me % 2;
  const std::unique_ptr<Communicator> group = communicator.split(color, -me);
  const int members = (size + 1 - color) / 2;
  ASSERT_EQ(group->size(), members);
  ASSERT_EQ(group->rank(), members - 1 - me / 2);
  EXPECT_EQ(group->transport(), communicator.transport());
  // Both groups use their communicators at the same time as all use the parent.
  for (const uint64_t seed : {5, 6}) {
    check_all_to_all(backend, *group, {RowCounts::kRandom, 3, seed + 100 * (me % 2)});
    check_gathers(backend, communicator, seed);
    check_gathers(backend, *group, seed);
  }
  const std::unique_ptr<Communicator> alone = group->split(group->rank(), 0);
  EXPECT_EQ(alone->size(), 1);
  check_gathers(backend, *alone, 9);
}

void check_concurrent(Backend& backend, Communicator& communicator) {
  const std::unique_ptr<Communicator> other = communicator.split(0, communicator.rank());
  Stream waiting = backend.make_stream(StreamKind::kCopy);
  Stream busy = backend.make_stream(StreamKind::kExchange);
  const int root = communicator.size() - 1;
  const std::string sent = message(3, root, 0, 5000);
  const bool is_root = communicator.rank() == root;
  std::string in_host = is_root ? sent : std::string(sent.size(), '\0');
  const DeviceBytes data(backend, waiting, in_host);
  // Over NCCL device memory goes in one order: there only host memory may be late.
  const bool is_in_host = communicator.transport() == "nccl";
  // The root enters the broadcast only after the exchanges that the others enqueue behind it.
  const auto broadcast = [&] {
    other->broadcast(waiting, is_in_host ? in_host.data() : data.data(), 5000, root,
                     label_of(4, "late broadcast"));
  };
  if (!is_root) broadcast();
  const Exchange exchange =
      make_exchange(backend, busy, communicator, {RowCounts::kRandom, 50, 11});
  for (int i = 0; i < 4; ++i) {
    communicator.all_to_all_v(busy, exchange.args, label_of(i, "meanwhile"));
  }
  communicator.barrier(busy, label_of(4, "meanwhile"));
  backend.record(busy).synchronize();
  if (is_root) broadcast();
  expect_bytes(exchange.recv->download(), exchange.expected, "meanwhile");
  backend.record(waiting).synchronize();
  expect_bytes(is_in_host ? in_host : data.download(), sent, "late broadcast");
}

void check_control_channel(Backend& backend, Communicator& communicator) {
  ControlChannel control(backend, communicator);
  const int me = control.rank();
  const int size = control.size();
  const CollectiveLabel label = label_of(5, "control");
  std::vector<std::string> all;
  int64_t sum = 0;
  for (int r = 0; r < size; ++r) {
    all.push_back(message(1, r, 0, r % 2 == 0 ? r * 100 : 0));
    sum += r * r - 7;
  }
  const std::string mine = all[static_cast<size_t>(me)];
  EXPECT_EQ(control.all_gather(mine, label), all);
  const int root = size / 2;
  EXPECT_EQ(control.gather(mine, root, label), me == root ? all : std::vector<std::string>());
  EXPECT_EQ(control.broadcast(me == root ? "news" : "ignored", root, label), "news");
  EXPECT_EQ(control.broadcast(me == root ? "" : "ignored", root, label), "");
  EXPECT_EQ(control.all_max(-me, label), 0);
  EXPECT_EQ(control.all_sum(me * me - 7, label), sum);
  control.barrier(label);
  control.agree([] {}, label);
  try {
    control.agree(
        [&] {
          if (me == size - 1) fail_input("file 'x' is cut short");
        },
        label);
    ADD_FAILURE() << "no error";
  } catch (const AgreedError& e) {
    EXPECT_EQ(e.kind(), ErrorKind::kInput);
    const std::string prefix = size == 1 ? "" : concat("rank ", size - 1, ": ");
    EXPECT_EQ(e.what(), prefix + "file 'x' is cut short");
  }
  EXPECT_EQ(control.all_sum(1, label), size) << "the channel serves on after an agreed error";
}

void check_mixed_memory(Backend& backend, Communicator& communicator) {
  Stream stream = backend.make_stream(StreamKind::kExchange);
  const int me = communicator.rank();
  const bool sends_from_host = me % 2 == 0;
  // Device memory to host memory on even ranks' receiving side, the other way on odd ones.
  Exchange exchange = make_exchange(backend, stream, communicator, {RowCounts::kRandom, 300, 21});
  const std::string sent = exchange.send->download();
  std::string received(exchange.expected.size(), '\0');
  if (sends_from_host) exchange.args.send = sent.data();
  if (!sends_from_host) exchange.args.recv = received.data();
  communicator.all_to_all_v(stream, exchange.args, label_of(6, "mixed exchange"));
  backend.record(stream).synchronize();
  expect_bytes(sends_from_host ? exchange.recv->download() : received, exchange.expected, "mixed");
  const std::string mine = message(4, me, 0, 900);
  std::string all;
  for (int r = 0; r < communicator.size(); ++r) all += message(4, r, 0, 900);
  const DeviceBytes gathered(backend, stream, std::string(all.size(), '\0'));
  communicator.all_gather(stream, mine.data(), gathered.data(), 900, label_of(6, "mixed gather"));
  expect_bytes(gathered.download(), all, "mixed gather");
}

void check_everything(Backend& backend, Communicator& communicator) {
  for (const RowCounts counts : {RowCounts::kRandom, RowCounts::kSparse, RowCounts::kNone,
                                 RowCounts::kToOne, RowCounts::kFromOne, RowCounts::kSelfOnly}) {
    for (const int64_t row_bytes : {1, 7, 3000}) {
      check_all_to_all(backend, communicator,
                       {counts, row_bytes, static_cast<uint64_t>(counts) * 10 + 1});
    }
  }
  check_gathers(backend, communicator, 1);
  check_barrier(backend, communicator);
  check_split(backend, communicator);
  check_concurrent(backend, communicator);
  check_control_channel(backend, communicator);
}

}  // namespace switchyard
