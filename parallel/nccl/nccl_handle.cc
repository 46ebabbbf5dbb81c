#include "parallel/nccl/nccl_handle.h"

#include <chrono>
#include <thread>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/base/steady_seconds.h"

namespace switchyard {
namespace {

/// NCCL is asked hard at first, as an exchange is started in a few microseconds, then less and
/// less: connecting takes seconds.
void pause_after(double seconds_waited) {
  if (seconds_waited < 200e-6) {
    std::this_thread::yield();
  } else {
    std::this_thread::sleep_for(std::chrono::microseconds(seconds_waited < 0.1 ? 20 : 1000));
  }
}

[[noreturn]] void fail_peer(const std::string& why) { throw Error(ErrorKind::kPeer, why); }

[[noreturn]] void fail_to_connect(int rank, const std::string& why) {
  fail_peer(concat("NCCL cannot connect rank ", rank, ": ", why,
                   ". NCCL_DEBUG=INFO tells more, NCCL_SOCKET_IFNAME and NCCL_IB_HCA choose the "
                   "network; --transport mpi does without NCCL"));
}

}  // namespace

NcclHandle::NcclHandle(const NcclSetup& setup) : rank_(setup.rank), size_(setup.size) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  const ncclResult_t result =
      ncclCommInitRankConfig(&comm_, setup.size, setup.id, setup.rank, &config);
  if (result == ncclSuccess || result == ncclInProgress) return;
  comm_ = nullptr;
  fail_to_connect(rank_, reason_locked(result));
}

void NcclHandle::wait_until_connected(double deadline_seconds) {
  const ncclResult_t result = wait_until_done(ncclInProgress, deadline_seconds);
  is_connected_ = result == ncclSuccess;
  if (is_connected_) return;
  const std::lock_guard lock(mutex_);
  fail_to_connect(rank_, result == ncclInProgress
                             ? concat("not all of the ", size_, " ranks are connected after ",
                                      deadline_seconds, " s, though all have come to connect")
                             : reason_locked(result));
}

NcclHandle::~NcclHandle() {
  ncclComm_t comm = nullptr;
  {
    const std::lock_guard lock(mutex_);
    comm = comm_;
  }
  if (comm == nullptr) return;
  if (!is_connected_) {
    abort();
    return;
  }
  // Peers that are gone would keep finalisation waiting: a bound, then the rough way.
  constexpr double kPatience = 10.0;
  if (wait_until_done(ncclCommFinalize(comm), kPatience) != ncclSuccess) {
    abort();
    return;
  }
  const std::lock_guard lock(mutex_);
  ncclCommDestroy(comm_);
  comm_ = nullptr;
}

void NcclHandle::start(const Calls& calls) {
  ncclResult_t result = ncclSuccess;
  {
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) fail_peer("the exchange over NCCL was given up before");
    result = ncclGroupStart();
    const ncclResult_t call = result == ncclSuccess ? calls(comm_) : result;
    const ncclResult_t end = ncclGroupEnd();
    result = call == ncclSuccess || call == ncclInProgress ? end : call;
  }
  result = wait_until_done(result, 0.0);
  if (result == ncclSuccess) return;
  const std::lock_guard lock(mutex_);
  if (comm_ == nullptr) fail_peer("the exchange over NCCL was given up");
  fail_peer(concat("NCCL cannot start an exchange: ", reason_locked(result)));
}

std::string NcclHandle::failure() {
  const std::lock_guard lock(mutex_);
  if (comm_ == nullptr) return "";
  const ncclResult_t state = state_locked();
  return state == ncclSuccess || state == ncclInProgress ? "" : reason_locked(state);
}

void NcclHandle::abort() {
  const std::lock_guard lock(mutex_);
  if (comm_ == nullptr) return;
  ncclCommAbort(comm_);
  comm_ = nullptr;
}

ncclResult_t NcclHandle::state_locked() {
  ncclResult_t state = ncclSuccess;
  const ncclResult_t asked = ncclCommGetAsyncError(comm_, &state);
  return asked == ncclSuccess ? state : asked;
}

std::string NcclHandle::reason_locked(ncclResult_t result) const {
  const char* const detail = comm_ == nullptr ? nullptr : ncclGetLastError(comm_);
  std::string reason = ncclGetErrorString(result);
  if (detail != nullptr && *detail != '\0') reason += concat(" (", detail, ")");
  return reason;
}

ncclResult_t NcclHandle::wait_until_done(ncclResult_t result, double deadline_seconds) {
  const double begin = steady_seconds();
  while (result == ncclInProgress) {
    const double waited = steady_seconds() - begin;
    if (deadline_seconds > 0.0 && waited > deadline_seconds) return result;
    pause_after(waited);
    const std::lock_guard lock(mutex_);
    if (comm_ == nullptr) return ncclInvalidUsage;
    result = state_locked();
  }
  return result;
}

}  // namespace switchyard
