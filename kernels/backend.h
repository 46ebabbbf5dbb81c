// One device: memory, streams, and THE list of operations.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/device_facts.h"
#include "kernels/device_limits.h"
#include "kernels/ops.h"
#include "kernels/stream.h"
#include "kernels/tensor.h"
#include "kernels/weight.h"
#include "kernels/work_sizes.h"

namespace switchyard {

/// In which arithmetic matrices multiply. Everything else is fp32 throughout.
enum class Arithmetic : uint8_t {
  kFp32,  ///< one chain of fused multiply-adds, on GPUs with the bits of the cpu: class "cpu-fp32"
  kBf16,  ///< operands rounded to bfloat16, fp32 sums in fixed segments: "cuda-smXX-bf16"
  kFp16,  ///< the same with binary16: "cuda-smXX-fp16"
};

/// What results are computed with. Equal names promise equal bits, except of fast classes: there a
/// library multiplies, whose sums may depend on the rows that share a call.
struct ArithmeticClass {
  std::string name;  // "cpu-fp32"
  Arithmetic arithmetic = Arithmetic::kFp32;
  std::string packing;  // Backend::packing_name() when it is in use
  bool is_fast = false;
};

/// The device of one rank. Operations are asynchronous by contract: each takes a stream, outputs
/// and workspace allocated before, enqueues, and neither allocates device memory nor waits. Host
/// code reads device memory only through copy_to_host and the Event after it. A failure inside an
/// operation surfaces at the next Event::synchronize of its stream, or at once.
///
/// Exactness: equal inputs give equal bits for every number of rows in a call, of threads, and for
/// every backend of one arithmetic class (see the argument structs for each order of summation).
///
/// Thread-safe only per stream: one host thread drives one stream at a time.
class Backend {
 public:
  Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  /// "cpu (avx512, 2 threads)" and the like, for logs.
  virtual std::string description() const = 0;
  /// The arithmetic class of the numerics id, as "cpu-fp32".
  virtual std::string_view arithmetic_class() const = 0;
  /// All that this device can compute in, the most precise first; only GPUs have a choice.
  virtual std::vector<ArithmeticClass> arithmetic_classes() const {
    return {{std::string(arithmetic_class()), Arithmetic::kFp32, std::string(packing_name())}};
  }
  /// Computes in one of arithmetic_classes() from now on. Comes before the first weight is packed
  /// and the first page is laid out, for their forms depend on it. Throws Error(kUsage) if the
  /// device lacks it.
  virtual void use(const ArithmeticClass& chosen);
  /// Whether grouped_ffn() takes offsets in device memory in the class in use.
  virtual bool takes_device_offsets() const { return true; }
  /// As which type keys and values are stored.
  virtual DType key_value_type() const { return DType::kF32; }

  // Memory. ---------------------------------------------------------------------------------------

  /// The device's memory as it is now; nothing where that is the host's.
  virtual std::optional<DeviceMemory> device_memory() const { return std::nullopt; }

  /// A block of at least 64-byte alignment, contents undefined; throws Error(kResource).
  virtual DeviceBuffer allocate(int64_t bytes) = 0;
  Tensor allocate_tensor(DType dtype, Shape shape) {
    return Tensor(allocate(shape.num_elements() * size_of(dtype)), dtype, shape);
  }

  /// A block of host memory that copies to and from the device reach at the link's full speed
  /// (pinned, where a device has a link), aligned and undefined as allocate()'s. Host code may
  /// touch it. Throws Error(kResource).
  virtual HostBuffer allocate_host(int64_t bytes) = 0;

  /// Bytes at most that the operations of a compute stream take for themselves.
  virtual int64_t scratch_bytes(const WorkSizes& sizes) const = 0;
  /// Lets a compute stream take them now: else it does when it first needs them. Throws
  /// Error(kResource).
  virtual void reserve_scratch(Stream&, const WorkSizes&) {}

  /// Measures what this device can do at most; seconds of work for all of it, and nothing else may
  /// run on it meanwhile. Throws Error(kResource) where memory lacks.
  virtual std::vector<DeviceLimit> measure_limits(const LimitSizes&) { return {}; }

  // Streams. --------------------------------------------------------------------------------------

  virtual Stream make_stream(StreamKind kind) = 0;
  /// The point after everything enqueued so far.
  virtual Event record(Stream& stream) = 0;
  /// Makes later work of `stream` wait for `event`, which may belong to any stream of this backend.
  virtual void wait(Stream& stream, const Event& event) = 0;
  /// Runs `task` on a host thread in the stream's order. Inside it host_address() may be used.
  virtual void run_on_host(Stream& stream, std::function<void()> task) = 0;
  /// Where a host task finds device memory, or `pointer` itself if it is host memory. Null if the
  /// device's memory cannot be addressed by the host: then transports must stage through copies.
  virtual void* host_address(const void* pointer) const = 0;
  /// Copies between any two places, each in device or host memory, and waits. For host tasks only:
  /// the bytes are those of the moment, in no stream's order. `from` may belong to another backend
  /// of the same kind in this process. Thread-safe.
  virtual void copy_in_task(void* to, const void* from, int64_t bytes) const = 0;

  // Graphs. ---------------------------------------------------------------------------------------

  /// Whether a graph is enqueued faster than the operations in it.
  virtual bool gains_from_graphs() const { return false; }
  /// Waits for the stream. From here to end_recording() operations on it are recorded with their
  /// arguments and do not run: what they read and write is the memory's contents whenever the graph
  /// runs. Nothing else may be asked of the stream meanwhile: no copy, event or host task.
  virtual void begin_recording(Stream& stream) = 0;
  /// Comes also after an operation has thrown; then what it gives is good for nothing.
  virtual Graph end_recording(Stream& stream) = 0;
  /// Whether `graph`, of this stream, may still be launched: it may not when the stream's working
  /// memory has moved since.
  virtual bool is_current(const Stream& stream, const Graph& graph) const = 0;
  /// Enqueues a recorded graph on the stream that recorded it.
  virtual void launch(Stream& stream, const Graph& graph) = 0;

  // Copies. `host` memory must stay valid until the stream has passed the copy. -------------------

  virtual void copy_to_device(Stream& stream, const void* host, const TensorView& to) = 0;
  virtual void copy_to_host(Stream& stream, const TensorView& from, void* host) = 0;

  // Weights. --------------------------------------------------------------------------------------

  /// Names the form in which pack_weight lays a matrix out, with its version, as "panel32-1": equal
  /// names mean equal bytes, on every machine and for every instruction set.
  virtual std::string_view packing_name() const = 0;
  /// Bytes of a packed matrix; a multiple of 64.
  virtual int64_t packed_bytes(const WeightSpec& spec) const = 0;
  /// Packs rows [first_row, first_row + num_rows) of the matrix from `host_rows` (row-major, the
  /// spec's dtype, any alignment), and quantises them if the spec says so. Packing all rows, in any
  /// pieces and order, defines the weight.
  virtual void pack_weight(Stream& stream, const void* host_rows, int64_t first_row,
                           int64_t num_rows, const Weight& weight) = 0;

  /// Bytes of one page of kKeysPerPage keys and values.
  virtual int64_t key_value_page_bytes(const KeyValueSpec& spec) const = 0;

  // Operations. -----------------------------------------------------------------------------------

  virtual void sinusoidal_positions(Stream& stream, const SinusoidalPositionsArgs& args) = 0;
  virtual void embed(Stream& stream, const EmbedArgs& args) = 0;
  virtual void layer_norm(Stream& stream, const LayerNormArgs& args) = 0;
  virtual void rms_norm(Stream& stream, const RmsNormArgs& args) = 0;
  virtual void matmul(Stream& stream, const MatmulArgs& args) = 0;
  virtual void heads_matmul(Stream& stream, const HeadsMatmulArgs& args) = 0;
  virtual void clamp(Stream& stream, const ClampArgs& args) = 0;
  virtual void rope_table(Stream& stream, const RopeTableArgs& args) = 0;
  virtual void rope(Stream& stream, const RopeArgs& args) = 0;
  virtual void store_key_values(Stream& stream, const StoreKeyValuesArgs& args) = 0;
  virtual void attention(Stream& stream, const AttentionArgs& args) = 0;
  virtual void glu(Stream& stream, const GluArgs& args) = 0;
  virtual void route(Stream& stream, const RouteArgs& args) = 0;
  virtual void apply_capacity(Stream& stream, const ApplyCapacityArgs& args) = 0;
  virtual void gather_rows(Stream& stream, const GatherRowsArgs& args) = 0;
  virtual void scatter_rows(Stream& stream, const ScatterRowsArgs& args) = 0;
  virtual void place_copies(Stream& stream, const PlaceCopiesArgs& args) = 0;
  virtual void group_arrivals(Stream& stream, const GroupArrivalsArgs& args) = 0;
  virtual void grouped_ffn(Stream& stream, const GroupedFfnArgs& args) = 0;
  virtual void combine(Stream& stream, const CombineArgs& args) = 0;
  virtual void log_probs(Stream& stream, const LogProbsArgs& args) = 0;
  virtual void sample(Stream& stream, const SampleArgs& args) = 0;
  virtual void find_non_finite(Stream& stream, const FindNonFiniteArgs& args) = 0;
};

/// Which backend make_backend gives.
enum class BackendKind {
  kAuto,    ///< the best this build and machine have
  kCpu,     ///< host memory; the compute stream runs on the calling thread and a thread pool
  kStrict,  ///< the cpu's mathematics behind a device-like memory and schedule, for tests
  kCuda,    ///< an NVIDIA GPU; only where the build has it, see has_backend
};

/// Which variant of the CPU kernels runs. All give the same bits.
enum class InstructionSet { kAuto, kAvx512, kAvx2, kPortable };

/// "avx512", "avx2" or "portable".
std::string_view name_of(InstructionSet set);
/// The best set this machine executes.
InstructionSet best_instruction_set();

struct BackendOptions {
  BackendKind kind = BackendKind::kAuto;
  InstructionSet instruction_set = InstructionSet::kAuto;
  int num_threads = 1;                        ///< that compute, the calling thread included
  uint64_t strict_seed = 1;                   ///< of the strict backend's delays
  Arithmetic arithmetic = Arithmetic::kFp32;  ///< of a GPU
  bool is_fast = false;                       ///< a GPU's library multiplies, see ArithmeticClass
  int device = 0;                             ///< which GPU, among those the process sees
  int host_node = -1;                         ///< NUMA node next to it, of pinned memory; -1: any
};

/// Whether this build and machine have a backend of this kind.
bool has_backend(BackendKind kind);

/// The GPUs this process sees, in the numbering of BackendOptions::device, without their free
/// memory; empty where the build or the machine has none. Takes none of them into use.
std::vector<DeviceFacts> visible_devices();
/// One of them with its free memory, which takes it into use. Throws Error(kResource).
DeviceFacts facts_of_device(int device);

/// Throws Error(kUsage) when the machine lacks what is asked for.
std::unique_ptr<Backend> make_backend(const BackendOptions& options);

}  // namespace switchyard
