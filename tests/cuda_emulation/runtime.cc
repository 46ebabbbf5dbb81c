#include "tests/cuda_emulation/runtime.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/cuda_emulation/cuda_runtime.h"

namespace cuda_emulation {
namespace {

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

int environment(const char* name, int otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::atoi(text);
}

int num_devices() {
  static const int count = environment("SWITCHYARD_EMULATED_GPUS", 4);
  return count;
}

std::atomic<int64_t> pinned_left{std::numeric_limits<int64_t>::max()};
std::atomic<int64_t> graph_launches{0};
thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

/// A moment in a stream's order.
class Point {
 public:
  void reach() {
    {
      const std::lock_guard lock(mutex_);
      reached_at_ = now();
      is_reached_ = true;
    }
    changed_.notify_all();
  }
  bool is_reached() const {
    const std::lock_guard lock(mutex_);
    return is_reached_;
  }
  void wait() const {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return is_reached_; });
  }
  double reached_at() const {
    const std::lock_guard lock(mutex_);
    return reached_at_;
  }

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool is_reached_ = false;
  double reached_at_ = 0.0;
};

/// Blocks of memory by address. Thread-safe.
class Blocks {
 public:
  void add(void* data, size_t bytes) {
    const std::lock_guard lock(mutex_);
    blocks_[static_cast<const char*>(data)] = bytes;
  }
  /// The block's bytes, 0 if there is none.
  size_t remove(void* data) {
    const std::lock_guard lock(mutex_);
    const auto found = blocks_.find(static_cast<const char*>(data));
    if (found == blocks_.end()) return 0;
    const size_t bytes = found->second;
    blocks_.erase(found);
    return bytes;
  }
  bool holds(const void* data, size_t bytes) const {
    const std::lock_guard lock(mutex_);
    const char* const begin = static_cast<const char*>(data);
    auto block = blocks_.upper_bound(begin);
    if (block == blocks_.begin()) return false;
    --block;
    return begin + bytes <= block->first + block->second;
  }
  /// Whether the bytes lie in one block, or outside of all.
  bool is_uniform(const void* data, size_t bytes) const {
    if (holds(data, bytes)) return true;
    const std::lock_guard lock(mutex_);
    const char* const begin = static_cast<const char*>(data);
    auto block = blocks_.lower_bound(begin + bytes);
    if (block == blocks_.begin()) return true;
    --block;
    return block->first + block->second <= begin;
  }

 private:
  mutable std::mutex mutex_;
  std::map<const char*, size_t> blocks_;
};

Blocks& pinned() {
  static Blocks all;
  return all;
}

/// All live device memory.
class DeviceMemory {
 public:
  cudaError_t allocate(void** data, size_t bytes) {
    const std::lock_guard lock(mutex_);
    ++allocations_;
    if (limit_ > 0 && allocated_ + static_cast<int64_t>(bytes) > limit_) {
      return cudaErrorMemoryAllocation;
    }
    const size_t size = (bytes + 255) / 256 * 256;
    void* const block = std::aligned_alloc(256, size);
    if (block == nullptr) return cudaErrorMemoryAllocation;
    // NaN in every number: what is read before it is written shows.
    std::memset(block, 0xFF, size);
    blocks_.add(block, bytes);
    allocated_ += static_cast<int64_t>(bytes);
    *data = block;
    return cudaSuccess;
  }
  cudaError_t free(void* data) {
    if (data == nullptr) return cudaSuccess;
    const size_t bytes = blocks_.remove(data);
    if (bytes == 0) return cudaErrorInvalidValue;
    const std::lock_guard lock(mutex_);
    allocated_ -= static_cast<int64_t>(bytes);
    std::free(data);
    return cudaSuccess;
  }
  bool holds(const void* data, size_t bytes) const { return blocks_.holds(data, bytes); }
  void set_limit(int64_t bytes) {
    const std::lock_guard lock(mutex_);
    limit_ = bytes;
  }
  int64_t allocated() const {
    const std::lock_guard lock(mutex_);
    return allocated_;
  }
  int64_t limit() const {
    const std::lock_guard lock(mutex_);
    return limit_;
  }
  void count_allocation() {
    const std::lock_guard lock(mutex_);
    ++allocations_;
  }
  int64_t allocations() const {
    const std::lock_guard lock(mutex_);
    return allocations_;
  }

 private:
  mutable std::mutex mutex_;
  Blocks blocks_;
  int64_t allocated_ = 0;
  int64_t limit_ = 0;
  int64_t allocations_ = 0;
};

DeviceMemory& memory() {
  static DeviceMemory all;
  return all;
}

}  // namespace

class EmulatedGraph {
 public:
  std::vector<std::function<void()>> work;
};

class EmulatedStream {
 public:
  EmulatedStream() : thread_([this] { run(); }) {}
  ~EmulatedStream() {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void push(std::function<void()> work) {
    {
      const std::lock_guard lock(mutex_);
      if (recording_ != nullptr) {
        recording_->work.push_back(std::move(work));
        return;
      }
      work_.push_back(std::move(work));
    }
    changed_.notify_all();
  }
  bool begin_recording() {
    const std::lock_guard lock(mutex_);
    if (recording_ != nullptr) return false;
    recording_ = std::make_unique<EmulatedGraph>();
    return true;
  }
  /// Null if it does not record.
  std::unique_ptr<EmulatedGraph> end_recording() {
    const std::lock_guard lock(mutex_);
    return std::move(recording_);
  }
  bool is_recording() const {
    const std::lock_guard lock(mutex_);
    return recording_ != nullptr;
  }
  std::shared_ptr<Point> mark() {
    auto point = std::make_shared<Point>();
    push([point] { point->reach(); });
    return point;
  }

 private:
  void run() {
    for (;;) {
      std::function<void()> work;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopping_ || !work_.empty(); });
        if (work_.empty()) return;
        work = std::move(work_.front());
        work_.pop_front();
      }
      work();
    }
  }

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  std::unique_ptr<EmulatedGraph> recording_;  // null: work runs
  bool stopping_ = false;
  std::thread thread_;
};

class EmulatedEvent {
 public:
  std::shared_ptr<Point> point;
};

namespace {

EmulatedStream* resolve(cudaStream_t stream) {
  if (stream == nullptr) {
    static EmulatedStream legacy;
    return &legacy;
  }
  if (stream == cudaStreamPerThread) {
    static thread_local EmulatedStream own;
    return &own;
  }
  return stream;
}

bool is_device(cudaMemcpyKind kind, bool is_target, const void* data) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return false;
    case cudaMemcpyHostToDevice:
      return is_target;
    case cudaMemcpyDeviceToHost:
      return !is_target;
    case cudaMemcpyDeviceToDevice:
      return true;
    case cudaMemcpyDefault:
      break;
  }
  return memory().holds(data, 1);
}

bool is_there(cudaMemcpyKind kind, bool is_target, const void* data, size_t bytes) {
  if (is_device(kind, is_target, data)) return memory().holds(data, bytes);
  // Of host memory, a copy takes what one call has pinned, or what none has.
  return !memory().holds(data, 1) && pinned().is_uniform(data, bytes);
}

}  // namespace

cudaError_t enqueue(EmulatedStream* stream, std::function<void()> work) {
  resolve(stream)->push(std::move(work));
  return cudaSuccess;
}

void set_device_memory(int64_t bytes) { memory().set_limit(bytes); }
int64_t allocated_bytes() { return memory().allocated(); }
void set_pinned_limit(int64_t bytes) { pinned_left = bytes; }
int64_t num_allocations() { return memory().allocations(); }
int64_t num_graph_launches() { return graph_launches; }

}  // namespace cuda_emulation

using namespace cuda_emulation;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorInvalidDevice:
      return "invalid device ordinal";
    case cudaErrorNotReady:
      return "device not ready";
    case cudaErrorLaunchFailure:
      return "unspecified launch failure";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
  }
  return "unknown";
}

cudaError_t cudaGetLastError() { return std::exchange(last_error, cudaSuccess); }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = num_devices();
  return *count > 0 ? cudaSuccess : result(cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= num_devices()) return result(cudaErrorInvalidDevice);
  current_device = device;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= num_devices()) return result(cudaErrorInvalidDevice);
  *properties = {};
  std::strcpy(properties->name, "emulated GPU");
  const int capability = environment("SWITCHYARD_EMULATED_CAPABILITY", 90);
  properties->major = capability / 10;
  properties->minor = capability % 10;
  properties->multiProcessorCount = 4;
  properties->sharedMemPerBlockOptin = kEmulatedSharedBytes;
  size_t free_bytes = 0;
  cudaMemGetInfo(&free_bytes, &properties->totalGlobalMem);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int length, int device) {
  std::snprintf(id, static_cast<size_t>(length), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  constexpr int64_t kDefaultBytes = int64_t{8} << 30;
  const int64_t total = memory().limit() > 0 ? memory().limit() : kDefaultBytes;
  *total_bytes = static_cast<size_t>(total);
  *free_bytes = static_cast<size_t>(std::max<int64_t>(0, total - memory().allocated()));
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, size_t bytes) { return result(memory().allocate(data, bytes)); }

cudaError_t cudaFree(void* data) { return result(memory().free(data)); }

cudaError_t cudaMallocAsync(void** data, size_t bytes, cudaStream_t stream) {
  // What memory a graph allocates is gone with its launch: the project must not.
  if (resolve(stream)->is_recording()) return result(cudaErrorStreamCaptureUnsupported);
  return result(memory().allocate(data, bytes));
}

cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  if (resolve(stream)->is_recording()) return result(cudaErrorStreamCaptureUnsupported);
  resolve(stream)->push([data] { memory().free(data); });
  return cudaSuccess;
}

cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned) {
  memory().count_allocation();
  *data = std::aligned_alloc(4096, (bytes + 4095) / 4096 * 4096);
  if (*data == nullptr) return result(cudaErrorMemoryAllocation);
  pinned().add(*data, bytes);
  return cudaSuccess;
}

cudaError_t cudaFreeHost(void* data) {
  if (pinned().remove(data) == 0) return result(cudaErrorInvalidValue);
  std::free(data);
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* data) {
  attributes->type = memory().holds(data, 1)   ? cudaMemoryTypeDevice
                     : pinned().holds(data, 1) ? cudaMemoryTypeHost
                                               : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}

cudaError_t cudaHostRegister(void* data, size_t bytes, unsigned) {
  memory().count_allocation();
  const auto size = static_cast<int64_t>(bytes);
  if (pinned_left.fetch_sub(size) < size) {
    pinned_left += size;
    return result(cudaErrorMemoryAllocation);
  }
  pinned().add(data, bytes);
  return cudaSuccess;
}
cudaError_t cudaHostUnregister(void* data) {
  return pinned().remove(data) > 0 ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!is_there(kind, true, to, bytes) || !is_there(kind, false, from, bytes)) {
    return result(cudaErrorInvalidValue);
  }
  resolve(stream)->push([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  if (bytes == 0) return cudaSuccess;
  if (!memory().holds(to, bytes)) return result(cudaErrorInvalidValue);
  resolve(stream)->push([=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  *lowest = 0;
  *highest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned, int) {
  *stream = new EmulatedStream();
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  if (resolve(stream)->is_recording()) return result(cudaErrorStreamCaptureUnsupported);
  resolve(stream)->mark()->wait();
  return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  if (event->point == nullptr) return cudaSuccess;
  if (resolve(stream)->is_recording()) return result(cudaErrorStreamCaptureUnsupported);
  resolve(stream)->push([point = event->point] { point->wait(); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new EmulatedEvent();
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (resolve(stream)->is_recording()) return result(cudaErrorStreamCaptureUnsupported);
  event->point = resolve(stream)->mark();
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return event->point == nullptr || event->point->is_reached() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  if (event->point != nullptr) event->point->wait();
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (from->point == nullptr || to->point == nullptr) return result(cudaErrorInvalidValue);
  *milliseconds = static_cast<float>(1e3 * (to->point->reached_at() - from->point->reached_at()));
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  return result(resolve(stream)->begin_recording() ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  *graph = resolve(stream)->end_recording().release();
  return result(*graph != nullptr ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* ready, cudaGraph_t graph, uint64_t) {
  *ready = new EmulatedGraph(*graph);
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
  delete ready;
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
  ++graph_launches;
  for (const std::function<void()>& work : ready->work) resolve(stream)->push(work);
  return cudaSuccess;
}
