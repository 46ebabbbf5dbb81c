#include "parallel/nccl/nccl_communicator.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/cuda/cuda_error.h"
#include "parallel/control_channel.h"
#include "parallel/host_collective.h"
#include "parallel/nccl/nccl_handle.h"
#include "parallel/nccl/nccl_watcher.h"

namespace switchyard {
namespace {

using cuda::check_cuda;

constexpr CollectiveLabel kSetupLabel{.phase = "set-up of NCCL"};

/// For all ranks to connect, though --exchange-timeout may be much longer.
constexpr double kConnectSeconds = 180.0;

const char* bytes_of(const void* data) { return static_cast<const char*>(data); }
char* bytes_of(void* data) { return static_cast<char*>(data); }

/// The end of the last exchange on a GPU, whichever communicator and stream it is of.
struct NcclOrder {
  Event last;
  const Stream::Queue* queue = nullptr;  // that it is on
};

/// The ranks with which an all-to-all exchanges rows.
std::vector<int> peers_of(const AllToAllArgs& args, int rank) {
  std::vector<int> peers;
  for (int r = 0; r < static_cast<int>(args.send_rows.size()); ++r) {
    const auto peer = static_cast<size_t>(r);
    if (r != rank && args.send_rows[peer] + args.recv_rows[peer] > 0) peers.push_back(r);
  }
  return peers;
}

bool is_error(ncclResult_t result) { return result != ncclSuccess && result != ncclInProgress; }

using Calls = std::function<ncclResult_t(ncclComm_t, cudaStream_t)>;

/// An exchange on its way through a queue. A queue that has failed drops its work: then the
/// destructor gives the exchange up, so that the others learn of it.
class PendingExchange {
 public:
  PendingExchange(NcclHandle& handle, Calls calls, std::function<void()> give_up)
      : handle_(handle), calls_(std::move(calls)), give_up_(std::move(give_up)) {}
  PendingExchange(const PendingExchange&) = delete;
  PendingExchange& operator=(const PendingExchange&) = delete;
  ~PendingExchange() {
    if (!is_started_) give_up_();
  }
  void start(cudaStream_t stream) {
    handle_.start([&](ncclComm_t comm) { return calls_(comm, stream); });
    is_started_ = true;
  }

 private:
  NcclHandle& handle_;
  Calls calls_;
  std::function<void()> give_up_;
  bool is_started_ = false;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(std::unique_ptr<Communicator> host, CudaBackend& backend,
                   const CommunicatorOptions& options, std::shared_ptr<NcclOrder> order)
      : host_(std::move(host)), backend_(backend), options_(options), order_(std::move(order)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  std::string_view transport() const override { return "nccl"; }

  std::unique_ptr<Communicator> split(int color, int key) override {
    return std::make_unique<NcclCommunicator>(host_->split(color, key), backend_, options_, order_);
  }

  void all_to_all_v(Stream& stream, const AllToAllArgs& args,
                    const CollectiveLabel& label) override;
  void all_gather(Stream& stream, const void* send, void* recv, int64_t bytes,
                  const CollectiveLabel& label) override;
  void all_gather_v(Stream& stream, const void* send, void* recv,
                    const std::vector<int64_t>& bytes_of_rank,
                    const CollectiveLabel& label) override;
  void broadcast(Stream& stream, void* data, int64_t bytes, int root,
                 const CollectiveLabel& label) override;
  void barrier(Stream& stream, const CollectiveLabel& label) override {
    host_->barrier(stream, label);
  }
  int64_t staging_bytes() const override { return host_->staging_bytes(); }
  void abort(int exit_status) override {
    if (handle_ != nullptr) handle_->abort();
    host_->abort(exit_status);
  }

 private:
  bool is_device(const void* pointer) const {
    return pointer != nullptr && backend_.host_address(pointer) == nullptr;
  }
  /// Enqueues a copy of what a rank keeps, from any memory.
  void copy(Stream& stream, void* to, const void* from, int64_t bytes);
  /// Enqueues the exchange behind all others of this GPU.
  void exchange(Stream& stream, WatchedWork work, Calls calls);
  void connect();
  void fail(const std::string& why);

  std::unique_ptr<Communicator> host_;
  CudaBackend& backend_;
  CommunicatorOptions options_;
  std::shared_ptr<NcclOrder> order_;
  std::unique_ptr<NcclHandle> handle_;    // none before the first exchange
  std::unique_ptr<NcclWatcher> watcher_;  // after the handle: it uses it
};

cuda::CudaQueue& queue_of(Stream& stream) { return static_cast<cuda::CudaQueue&>(stream.queue()); }

void NcclCommunicator::all_to_all_v(Stream& stream, const AllToAllArgs& args,
                                    const CollectiveLabel& label) {
  check_all_to_all(args, rank(), size(), label);
  if (!is_device(args.send) && !is_device(args.recv)) {
    return host_->all_to_all_v(stream, args, label);
  }
  SWITCHYARD_CHECK((is_device(args.send) || args.send == nullptr) &&
                       (is_device(args.recv) || args.recv == nullptr),
                   label.text(), ": over NCCL both buffers are device memory, or both host memory");
  const auto self = static_cast<size_t>(rank());
  const char* own_from = bytes_of(args.send);
  char* own_to = bytes_of(args.recv);
  int64_t traffic = 0;
  for (size_t r = 0; r < args.send_rows.size(); ++r) {
    if (r < self) own_from += args.send_rows[r] * args.row_bytes;
    if (r < self) own_to += args.recv_rows[r] * args.row_bytes;
    if (r != self) traffic += (args.send_rows[r] + args.recv_rows[r]) * args.row_bytes;
  }
  copy(stream, own_to, own_from, args.send_rows[self] * args.row_bytes);
  if (size() > 1) connect();  // also a rank without rows: the others cannot know
  if (traffic == 0) return;
  exchange(stream, {CollectiveKind::kAllToAll, label, peers_of(args, rank()), {}},
           [args, self](ncclComm_t comm, cudaStream_t queue) {
             const char* from = bytes_of(args.send);
             char* to = bytes_of(args.recv);
             ncclResult_t result = ncclSuccess;
             const auto note = [&](ncclResult_t call) {
               if (!is_error(result)) result = call;
             };
             for (size_t r = 0; r < args.send_rows.size(); ++r) {
               const int64_t sent = args.send_rows[r] * args.row_bytes;
               const int64_t received = args.recv_rows[r] * args.row_bytes;
               const int peer = static_cast<int>(r);
               if (r != self && sent > 0) {
                 note(ncclSend(from, static_cast<size_t>(sent), ncclInt8, peer, comm, queue));
               }
               if (r != self && received > 0) {
                 note(ncclRecv(to, static_cast<size_t>(received), ncclInt8, peer, comm, queue));
               }
               from += sent;
               to += received;
             }
             return result;
           });
}

void NcclCommunicator::all_gather(Stream& stream, const void* send, void* recv, int64_t bytes,
                                  const CollectiveLabel& label) {
  if (!is_device(recv) || bytes == 0) return host_->all_gather(stream, send, recv, bytes, label);
  char* const own = bytes_of(recv) + rank() * bytes;
  // From its place: what `send` holds may be host memory, and one form serves both.
  copy(stream, own, send, bytes);
  if (size() == 1) return;
  exchange(stream, {CollectiveKind::kAllGather, label, {}, {}},
           [own, recv, bytes](ncclComm_t comm, cudaStream_t queue) {
             return ncclAllGather(own, recv, static_cast<size_t>(bytes), ncclInt8, comm, queue);
           });
}

void NcclCommunicator::all_gather_v(Stream& stream, const void* send, void* recv,
                                    const std::vector<int64_t>& bytes_of_rank,
                                    const CollectiveLabel& label) {
  check_counts(bytes_of_rank, size(), label);
  if (!is_device(recv)) return host_->all_gather_v(stream, send, recv, bytes_of_rank, label);
  const auto self = static_cast<size_t>(rank());
  int64_t before = 0;
  int64_t total = 0;
  for (size_t r = 0; r < bytes_of_rank.size(); ++r) {
    if (r < self) before += bytes_of_rank[r];
    total += bytes_of_rank[r];
  }
  if (total == 0) return host_->all_gather_v(stream, send, recv, bytes_of_rank, label);
  copy(stream, bytes_of(recv) + before, send, bytes_of_rank[self]);
  if (size() == 1) return;
  exchange(stream, {CollectiveKind::kAllGather, label, {}, {}},
           [recv, bytes_of_rank](ncclComm_t comm, cudaStream_t queue) {
             char* to = bytes_of(recv);
             ncclResult_t result = ncclSuccess;
             for (size_t r = 0; r < bytes_of_rank.size() && !is_error(result); ++r) {
               const auto bytes = static_cast<size_t>(bytes_of_rank[r]);
               if (bytes == 0) continue;
               result = ncclBroadcast(to, to, bytes, ncclInt8, static_cast<int>(r), comm, queue);
               to += bytes;
             }
             return result;
           });
}

void NcclCommunicator::broadcast(Stream& stream, void* data, int64_t bytes, int root,
                                 const CollectiveLabel& label) {
  if (!is_device(data) || bytes == 0) return host_->broadcast(stream, data, bytes, root, label);
  SWITCHYARD_CHECK(root >= 0 && root < size() && bytes > 0, label.text(), ": ", bytes,
                   " bytes from rank ", root, " of ", size());
  if (size() == 1) return;
  // The root waits for all others.
  const std::vector<int> peers = rank() == root ? std::vector<int>() : std::vector<int>{root};
  exchange(stream, {CollectiveKind::kBroadcast, label, peers, {}},
           [data, bytes, root](ncclComm_t comm, cudaStream_t queue) {
             return ncclBroadcast(data, data, static_cast<size_t>(bytes), ncclInt8, root, comm,
                                  queue);
           });
}

void NcclCommunicator::copy(Stream& stream, void* to, const void* from, int64_t bytes) {
  if (bytes == 0 || to == from) return;
  queue_of(stream).submit([=](cuda::CudaQueue&, cudaStream_t queue) {
    check_cuda(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, queue),
               "copying the rank's own piece");
  });
}

void NcclCommunicator::exchange(Stream& stream, WatchedWork work, Calls calls) {
  connect();
  if (order_->queue != nullptr && order_->queue != &stream.queue()) {
    backend_.wait(stream, order_->last);
  }
  work.begin = backend_.record(stream);
  const auto give_up = [this, what = work] {
    fail(concat("cannot take part in ", what.text(), ": its stream failed before"));
    handle_->abort();
  };
  watcher_->begin_with(std::move(work));
  auto pending = std::make_shared<PendingExchange>(*handle_, std::move(calls), give_up);
  queue_of(stream).submit([pending = std::move(pending)](cuda::CudaQueue&, cudaStream_t queue) {
    pending->start(queue);
  });
  order_->last = backend_.record(stream);
  order_->queue = &stream.queue();
  watcher_->end_with(order_->last);
}

/// Rank 0 makes the address at which the ranks meet, the hosts carry it around: when all have it,
/// all have come, and what is then missing is a matter of the GPUs' network.
void NcclCommunicator::connect() {
  if (handle_ != nullptr) return;
  ControlChannel control(backend_, *host_);
  NcclSetup setup;
  setup.rank = rank();
  setup.size = size();
  double deadline_seconds = kConnectSeconds;
  if (options_.deadline_seconds > 0.0) {
    deadline_seconds = std::min(deadline_seconds, options_.deadline_seconds);
  }
  std::string id(sizeof(setup.id), '\0');
  control.agree(
      [&] {
        if (rank() != 0) return;
        const ncclResult_t result = ncclGetUniqueId(&setup.id);
        if (result != ncclSuccess) {
          fail_resource("NCCL has no address to offer: ", ncclGetErrorString(result));
        }
        id.assign(setup.id.internal, sizeof(setup.id));
      },
      kSetupLabel);
  id = control.broadcast(id, 0, kSetupLabel);
  id.copy(setup.id.internal, sizeof(setup.id));
  std::unique_ptr<NcclHandle> handle;
  control.agree(
      [&] {
        backend_.choose();
        handle = std::make_unique<NcclHandle>(setup);
        handle->wait_until_connected(deadline_seconds);
      },
      kSetupLabel);
  handle_ = std::move(handle);
  watcher_ = std::make_unique<NcclWatcher>(*handle_, backend_, options_.deadline_seconds,
                                           [this](const std::string& why) { fail(why); });
}

void NcclCommunicator::fail(const std::string& why) {
  const std::string text = concat("rank ", rank(), ": ", why);
  log_line(LogLevel::kError, text);
  backend_.failure().set(std::make_exception_ptr(Error(ErrorKind::kPeer, text)));
}

}  // namespace

std::unique_ptr<Communicator> over_nccl(std::unique_ptr<Communicator> host, CudaBackend& backend,
                                        const CommunicatorOptions& options) {
  return std::make_unique<NcclCommunicator>(std::move(host), backend, options,
                                            std::make_shared<NcclOrder>());
}

}  // namespace switchyard
