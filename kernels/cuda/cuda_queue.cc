#include "kernels/cuda/cuda_queue.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/cuda/cuda_error.h"
#include "kernels/cuda/pinned_memory.h"

namespace switchyard::cuda {

ClockPoint::ClockPoint() {
  check_cuda(cudaEventCreateWithFlags(&event_, cudaEventDefault), "making an event");
  check_cuda(cudaEventRecord(event_, nullptr), "recording an event");
  check_cuda(cudaEventSynchronize(event_), "waiting for an event");
  seconds_ = steady_seconds();
}

ClockPoint::~ClockPoint() { cudaEventDestroy(event_); }

double ClockPoint::time_of(cudaEvent_t event) const {
  float milliseconds = 0.0f;
  check_cuda(cudaEventElapsedTime(&milliseconds, event_, event), "comparing events");
  return seconds_ + 1e-3 * static_cast<double>(milliseconds);
}

std::shared_ptr<const ClockPoint> ClockOrigin::recent() {
  const std::lock_guard lock(mutex_);
  if (steady_seconds() - point_->seconds() >= reach_seconds_) {
    point_ = std::make_shared<const ClockPoint>();
  }
  return point_;
}

CudaEvent::~CudaEvent() {
  if (event_ != nullptr) cudaEventDestroy(event_);
}

void CudaEvent::issue(cudaStream_t stream, std::exception_ptr error) {
  std::shared_ptr<const ClockPoint> point;
  cudaEvent_t event = nullptr;
  if (error == nullptr) {
    try {
      point = origin_.recent();
      check_cuda(cudaEventCreateWithFlags(&event, cudaEventDefault), "making an event");
      check_cuda(cudaEventRecord(event, stream), "recording an event");
    } catch (...) {
      error = std::current_exception();
    }
  }
  {
    const std::lock_guard lock(mutex_);
    point_ = std::move(point);
    event_ = event;
    error_ = std::move(error);
    is_issued_ = true;
  }
  issued_.notify_all();
}

bool CudaEvent::is_issued() const {
  const std::lock_guard lock(mutex_);
  return is_issued_;
}

cudaEvent_t CudaEvent::wait_until_issued() const {
  std::unique_lock lock(mutex_);
  issued_.wait(lock, [this] { return is_issued_; });
  if (error_ != nullptr) std::rethrow_exception(error_);
  return event_;
}

bool CudaEvent::is_complete() const {
  const std::lock_guard lock(mutex_);
  if (!is_issued_) return false;
  return event_ == nullptr || cudaEventQuery(event_) != cudaErrorNotReady;
}

void CudaEvent::synchronize() {
  check_cuda(cudaEventSynchronize(wait_until_issued()), "waiting for the device");
  failure_.rethrow();
}

double CudaEvent::completion_time() const {
  const std::lock_guard lock(mutex_);
  return event_ == nullptr ? steady_seconds() : point_->time_of(event_);
}

CudaQueue::CudaQueue(int device, StreamKind kind, ClockOrigin& origin, const DeviceFailure& failure)
    : device_(device), origin_(origin), failure_(failure) {
  check_cuda(cudaSetDevice(device_), "choosing a GPU");
  int lowest = 0;
  int highest = 0;
  check_cuda(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "asking for priorities");
  // Packing and exchanging are short and others wait for them: they go before computing.
  const int priority = kind == StreamKind::kCompute ? lowest : highest;
  check_cuda(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, priority),
             "making a stream");
}

CudaQueue::~CudaQueue() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  cudaSetDevice(device_);
  cudaStreamSynchronize(stream_);
  if (scratch_ != nullptr) cudaFreeAsync(scratch_, stream_);
  cudaStreamDestroy(stream_);
}

void CudaQueue::issue(const Work& work) {
  if (error_ != nullptr) return;
  try {
    failure_.rethrow();
    check_cuda(cudaSetDevice(device_), "choosing a GPU");
    work(*this, stream_);
  } catch (...) {
    error_ = std::current_exception();
  }
}

void CudaQueue::submit(Work work) {
  {
    const std::lock_guard lock(mutex_);
    if (pending_ == 0) return issue(work);
  }
  push([this, work = std::move(work)] { issue(work); });
}

void CudaQueue::push(std::function<void()> item) {
  {
    const std::lock_guard lock(mutex_);
    items_.push_back(std::move(item));
    ++pending_;
    if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
  }
  changed_.notify_all();
}

void CudaQueue::require_not_recording() const {
  SWITCHYARD_CHECK(recording_ == nullptr, "host work or an event on a stream that records");
}

void CudaQueue::run_on_host(std::function<void()> task) {
  require_not_recording();
  push([this, task = std::move(task)] {
    issue([this, &task](CudaQueue&, cudaStream_t stream) {
      check_cuda(cudaStreamSynchronize(stream), "waiting for the device");
      failure_.rethrow();
      task();
    });
  });
}

Event CudaQueue::record() {
  require_not_recording();
  auto state = std::make_shared<CudaEvent>(origin_, failure_);
  const auto mark = [this, state] {
    cudaSetDevice(device_);
    // Who sees the error gives its memory back: nothing may use it any more.
    if (error_ != nullptr) cudaStreamSynchronize(stream_);
    state->issue(stream_, error_);
  };
  {
    const std::lock_guard lock(mutex_);
    if (pending_ == 0) {
      mark();
      return Event(std::move(state));
    }
  }
  push(mark);
  return Event(std::move(state));
}

void CudaQueue::wait(const Event& event) {
  if (event.state() == nullptr) return;
  require_not_recording();
  const auto state = std::static_pointer_cast<CudaEvent>(event.state());
  Work work = [state](CudaQueue&, cudaStream_t stream) {
    check_cuda(cudaStreamWaitEvent(stream, state->wait_until_issued(), 0), "making a stream wait");
  };
  if (state->is_issued()) return submit(std::move(work));
  push([this, work = std::move(work)] { issue(work); });
}

void CudaQueue::begin_recording() {
  record().synchronize();
  {
    // The queue's thread may still be on its way out of the last item.
    std::unique_lock lock(mutex_);
    drained_.wait(lock, [this] { return pending_ == 0; });
  }
  check_cuda(cudaSetDevice(device_), "choosing a GPU");
  // Relaxed: arguments are uploaded meanwhile, and other threads allocate and wait.
  check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "recording a graph");
  recording_ = std::make_unique<CudaGraph>(scratch_);
}

std::unique_ptr<CudaGraph> CudaQueue::end_recording() {
  std::unique_ptr<CudaGraph> graph = std::move(recording_);
  // Also after a failure: a stream that goes on recording cannot be waited for.
  cudaSetDevice(device_);
  cudaGraph_t recorded = nullptr;
  const cudaError_t status = cudaStreamEndCapture(stream_, &recorded);
  if (error_ != nullptr) {
    if (recorded != nullptr) cudaGraphDestroy(recorded);
    return graph;
  }
  issue([&](CudaQueue&, cudaStream_t) {
    check_cuda(status, "ending the recording of a graph");
    graph->finish(recorded);
  });
  return graph;
}

void CudaQueue::launch(const CudaGraph& graph) {
  submit([&graph](CudaQueue&, cudaStream_t stream) { graph.launch(stream); });
}

int64_t CudaQueue::grown_scratch(int64_t bytes) {
  // An eighth more: rows of steps vary, and growing has to end soon. 1 MiB serves the small ones.
  return std::max<int64_t>(bytes + bytes / 8, int64_t{1} << 20);
}

void* CudaQueue::scratch(int64_t bytes) {
  if (bytes <= scratch_bytes_) return scratch_;
  require_not_recording();  // the graph's kernels share the stream's working memory
  if (scratch_ != nullptr) check_cuda(cudaFreeAsync(scratch_, stream_), "freeing device memory");
  scratch_ = nullptr;
  scratch_bytes_ = 0;
  const int64_t wanted = grown_scratch(bytes);
  cudaError_t status = cudaMallocAsync(&scratch_, static_cast<size_t>(wanted), stream_);
  if (status == cudaErrorMemoryAllocation) {
    // What was outgrown may still be in use, or be kept by the pool until somebody waits. The
    // pool's threshold for keeping stays 0: the plan of memory counts the last block alone.
    cudaGetLastError();
    check_cuda(cudaStreamSynchronize(stream_), "waiting for the device");
    status = cudaMallocAsync(&scratch_, static_cast<size_t>(wanted), stream_);
  }
  check_cuda(status, "allocating working memory");
  scratch_bytes_ = wanted;
  return scratch_;
}

void CudaQueue::copy_to_device(const void* host, void* device, int64_t bytes) {
  // From where on the pinned pieces pay.
  constexpr int64_t kLargeBytes = int64_t{1} << 20;
  for_each_copy(host, bytes, [=, this](int64_t at, int64_t count) {
    const char* const from = static_cast<const char*>(host) + at;
    char* const to = static_cast<char*>(device) + at;
    if (count >= kLargeBytes && !is_pinned(from)) {
      return staged_.to_device(stream_, from, to, count);
    }
    check_cuda(
        cudaMemcpyAsync(to, from, static_cast<size_t>(count), cudaMemcpyHostToDevice, stream_),
        "copying to the device");
  });
}

void* CudaQueue::upload(const void* host, int64_t bytes) {
  if (recording_ != nullptr) return recording_->upload(host, bytes);
  return uploads_.upload(stream_, host, bytes);
}

void CudaQueue::run() {
  for (;;) {
    std::function<void()> item;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return stopping_ || !items_.empty(); });
      if (items_.empty()) return;
      item = std::move(items_.front());
      items_.pop_front();
    }
    item();
    item = nullptr;
    {
      const std::lock_guard lock(mutex_);
      --pending_;
    }
    drained_.notify_all();
  }
}

}  // namespace switchyard::cuda
