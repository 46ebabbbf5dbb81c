#include "tests/cuda_emulation/nccl.h"

#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/nccl_faults.h"

namespace {

std::atomic<bool> connecting_hangs{false};
std::atomic<int> lost_rank{-1};
std::atomic<int64_t> made{0};
std::atomic<int64_t> alive{0};
std::atomic<int64_t> overlaps{0};

/// Bytes on offer to one peer.
struct Offer {
  const char* data = nullptr;
  size_t bytes = 0;
  bool is_taken = false;
};

/// What a call asks of one peer.
enum class Channel { kPointToPoint, kAllGather, kBroadcast };

/// The ranks that met by one address.
struct Group {
  using Key = std::tuple<Channel, int, int>;  // from, to

  explicit Group(int group_size) : size(group_size), devices(static_cast<size_t>(group_size), -1) {}

  const int size;
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<int> devices;  // -1: has not come
  int num_joined = 0;
  bool has_duplicate = false;
  std::set<int> aborted;
  std::map<Key, std::deque<std::shared_ptr<Offer>>> offers;
};

std::mutex groups_mutex;
std::map<std::string, std::shared_ptr<Group>>& groups() {
  static std::map<std::string, std::shared_ptr<Group>> all;
  return all;
}

/// Which communicator's work each GPU has in flight.
std::mutex in_flight_mutex;
std::map<int, std::map<const void*, int>>& in_flight() {
  static std::map<int, std::map<const void*, int>> all;
  return all;
}

struct SendCall {
  Channel channel;
  const char* data;
  size_t bytes;
  int peer;
};
struct RecvCall {
  Channel channel;
  char* data;
  size_t bytes;
  int peer;
};
/// The calls of one group on one communicator.
struct Batch {
  std::vector<SendCall> sends;
  std::vector<RecvCall> recvs;
  cudaStream_t stream = nullptr;
};

/// A dead object that is used is a fault of the project: end loudly.
void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "emulated NCCL: %s\n", what);
  std::abort();
}

}  // namespace

struct ncclComm {
  std::shared_ptr<Group> group;
  int rank = 0;
  int device = 0;
  bool is_finalized = false;
  std::atomic<bool> is_dead{false};
  std::shared_ptr<Batch> waiting;  // started, but not yet in its stream
};

namespace {

thread_local int group_depth = 0;
thread_local std::map<ncclComm_t, std::shared_ptr<Batch>> group_calls;

/// Communicators stay in memory, so that the use of a dead one is seen.
ncclComm_t keep(std::unique_ptr<ncclComm> comm) {
  static std::mutex mutex;
  static std::vector<std::unique_ptr<ncclComm>> all;
  const std::lock_guard lock(mutex);
  all.push_back(std::move(comm));
  return all.back().get();
}

void use_gpu(int device, const void* comm) {
  const std::lock_guard lock(in_flight_mutex);
  auto& of_device = in_flight()[device];
  ++of_device[comm];
  if (of_device.size() > 1) ++overlaps;
}

void leave_gpu(int device, const void* comm) {
  const std::lock_guard lock(in_flight_mutex);
  auto& of_device = in_flight()[device];
  if (--of_device[comm] == 0) of_device.erase(comm);
}

/// Runs on the stream's thread, as NCCL's kernel on the GPU: until all has come and gone, or the
/// communicator is aborted.
void move(Group& group, int rank, const Batch& batch) {
  std::unique_lock lock(group.mutex);
  const auto wait_for = [&](const std::function<bool()>& condition) {
    group.changed.wait(lock, [&] { return group.aborted.count(rank) > 0 || condition(); });
    return group.aborted.count(rank) == 0;
  };
  std::vector<std::shared_ptr<Offer>> mine;
  for (const SendCall& call : batch.sends) {
    mine.push_back(std::make_shared<Offer>(Offer{call.data, call.bytes}));
    group.offers[{call.channel, rank, call.peer}].push_back(mine.back());
  }
  group.changed.notify_all();
  for (const RecvCall& call : batch.recvs) {
    auto& from = group.offers[{call.channel, call.peer, rank}];
    // Bytes that do not match never come together.
    if (!wait_for([&] { return !from.empty() && from.front()->bytes == call.bytes; })) return;
    std::memcpy(call.data, from.front()->data, call.bytes);
    from.front()->is_taken = true;
    from.pop_front();
    group.changed.notify_all();
  }
  for (const auto& offer : mine) {
    if (!wait_for([&] { return offer->is_taken; })) return;
  }
}

void launch(ncclComm_t comm) {
  auto batch = std::exchange(comm->waiting, nullptr);
  const auto group = comm->group;
  const int rank = comm->rank;
  const int device = comm->device;
  const auto work = [batch, group, rank, device] {
    use_gpu(device, group.get());
    move(*group, rank, *batch);
    leave_gpu(device, group.get());
  };
  cuda_emulation::enqueue(batch->stream, work);
}

Batch& batch_of(ncclComm_t comm, cudaStream_t stream) {
  require(!comm->is_dead, "a call on a dead communicator");
  require(group_depth > 0, "calls outside groups are not emulated");
  auto& batch = group_calls[comm];
  if (batch == nullptr) batch = std::make_shared<Batch>();
  require(batch->stream == nullptr || batch->stream == stream, "a group on two streams");
  batch->stream = stream;
  return *batch;
}

ncclResult_t state_of(ncclComm_t comm) {
  Group& group = *comm->group;
  if (comm->waiting != nullptr) {
    launch(comm);
    return ncclSuccess;
  }
  const std::lock_guard lock(group.mutex);
  if (group.has_duplicate) return ncclInvalidUsage;
  const int lost = lost_rank;
  if (lost >= 0 && lost < group.size && lost != comm->rank) return ncclRemoteError;
  for (const int other : group.aborted) {
    if (other != comm->rank) return ncclRemoteError;
  }
  return group.num_joined < group.size || connecting_hangs ? ncclInProgress : ncclSuccess;
}

}  // namespace

namespace nccl_emulation {

void hang_connecting(bool hangs) { connecting_hangs = hangs; }
void lose_rank(int rank) { lost_rank = rank; }
int64_t num_made() { return made; }
int64_t num_alive() { return alive; }
int64_t num_overlaps() { return overlaps; }

}  // namespace nccl_emulation

ncclResult_t ncclGetVersion(int* version) {
  *version = 22809;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  switch (result) {
    case ncclSuccess:
      return "no error";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "internal error";
  }
}

const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  static std::atomic<int> next{0};
  std::memset(id, 0, sizeof(*id));
  std::snprintf(id->internal, sizeof(id->internal), "emulated-%d", next++);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  if (config == nullptr || config->blocking != 0) return ncclInvalidUsage;
  auto made_comm = std::make_unique<ncclComm>();
  made_comm->rank = rank;
  cudaGetDevice(&made_comm->device);
  {
    const std::lock_guard lock(groups_mutex);
    auto& group = groups()[id.internal];
    if (group == nullptr) group = std::make_shared<Group>(size);
    made_comm->group = group;
  }
  Group& group = *made_comm->group;
  const std::lock_guard lock(group.mutex);
  require(group.size == size, "ranks disagree on the size of their group");
  for (const int device : group.devices) {
    if (device == made_comm->device) group.has_duplicate = true;
  }
  group.devices[static_cast<size_t>(rank)] = made_comm->device;
  ++group.num_joined;
  ++made;
  ++alive;
  *comm = keep(std::move(made_comm));
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  require(!comm->is_dead, "a dead communicator is asked for its state");
  *state = state_of(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  require(!comm->is_dead && !comm->is_finalized, "a communicator is finalised twice");
  comm->is_finalized = true;
  return ncclInProgress;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  require(!comm->is_dead && comm->is_finalized, "a communicator is destroyed before its end");
  comm->is_dead = true;
  --alive;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  require(!comm->is_dead, "a dead communicator is aborted");
  comm->is_dead = true;
  --alive;
  const std::lock_guard lock(comm->group->mutex);
  comm->group->aborted.insert(comm->rank);
  comm->group->changed.notify_all();
  return ncclSuccess;
}

ncclResult_t ncclGroupStart() {
  ++group_depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  require(group_depth > 0, "the end of a group that has not begun");
  if (--group_depth > 0) return ncclSuccess;
  auto calls = std::exchange(group_calls, {});
  for (auto& [comm, batch] : calls) {
    require(comm->waiting == nullptr, "work is started while other work is");
    comm->waiting = std::move(batch);
  }
  return calls.empty() ? ncclSuccess : ncclInProgress;
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  batch_of(comm, stream)
      .sends.push_back({Channel::kPointToPoint, static_cast<const char*>(data), count, peer});
  return ncclSuccess;
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  batch_of(comm, stream)
      .recvs.push_back({Channel::kPointToPoint, static_cast<char*>(data), count, peer});
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* send, void* recv, size_t count, ncclDataType_t,
                           ncclComm_t comm, cudaStream_t stream) {
  Batch& batch = batch_of(comm, stream);
  for (int r = 0; r < comm->group->size; ++r) {
    if (r == comm->rank) continue;
    batch.sends.push_back({Channel::kAllGather, static_cast<const char*>(send), count, r});
    batch.recvs.push_back(
        {Channel::kAllGather, static_cast<char*>(recv) + static_cast<size_t>(r) * count, count, r});
  }
  require(send == static_cast<char*>(recv) + static_cast<size_t>(comm->rank) * count,
          "only in place");
  return ncclSuccess;
}

ncclResult_t ncclBroadcast(const void* send, void* recv, size_t count, ncclDataType_t, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  Batch& batch = batch_of(comm, stream);
  if (comm->rank != root) {
    batch.recvs.push_back({Channel::kBroadcast, static_cast<char*>(recv), count, root});
    return ncclSuccess;
  }
  for (int r = 0; r < comm->group->size; ++r) {
    if (r == root) continue;
    batch.sends.push_back({Channel::kBroadcast, static_cast<const char*>(send), count, r});
  }
  return ncclSuccess;
}
