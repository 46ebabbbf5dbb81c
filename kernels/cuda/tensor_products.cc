#include "kernels/cuda/tensor_products.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "kernels/base/error.h"
#include "kernels/cuda/round_rows.h"

namespace switchyard::cuda {
namespace {

constexpr int64_t kMultiprocessors = 132;  // of an H100
/// Blocks that wait for memory: two a multiprocessor.
constexpr int64_t kWantedBlocks = 2 * kMultiprocessors;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

bool is_by_warpgroups(TensorForm form) {
  return form != TensorForm::kFew && form != TensorForm::kMany;
}

int64_t rows_of_tile(TensorForm form) {
  switch (form) {
    case TensorForm::kFew:
      return kFewTensorRows;
    case TensorForm::kMany:
    case TensorForm::kWarpgroups64:
      return 64;
    case TensorForm::kWarpgroups128:
      return 128;
    case TensorForm::kWarpgroups256:
      return 256;
  }
  return 0;
}

int64_t column_tiles(const WeightSpec& spec, TensorForm form) {
  return divide_up(spec.rows, is_by_warpgroups(form) ? kWarpgroupOutputs : kTensorOutputs);
}

DType type_of(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::kBf16 ? DType::kBF16 : DType::kF16;
}

TensorForm form_of(const cpu::HostMatmul& job, const ProductMethod& method) {
  const WeightSpec& spec = job.w.spec;
  if (job.num_rows <= kFewTensorRows) return TensorForm::kFew;
  if (method.many_rows == ManyRows::kWarps) return TensorForm::kMany;
  if (spec.quantization.is_on()) {
    return job.num_rows <= 64 ? TensorForm::kMany : TensorForm::kWarpgroups128;
  }
  if (spec.dtype != type_of(method.arithmetic)) return TensorForm::kMany;
  if (job.num_rows <= 64) return TensorForm::kWarpgroups64;
  const bool fills_large_tiles = divide_up(job.num_rows, 128) % 2 == 0;
  return fills_large_tiles && tensor_segments(spec.rows, spec.cols).count == 1
             ? TensorForm::kWarpgroups256
             : TensorForm::kWarpgroups128;
}

/// Partial sums of many rows in a call at most.
constexpr int64_t kMostSharedFloats = int64_t{16} << 20;

int64_t align(int64_t bytes) { return divide_up(bytes, 256) * 256; }

/// What one launch has in common: form, that of the codes, and without these the type.
using Kind = std::tuple<TensorForm, cpu::CodeForm, DType>;

Kind kind_of(const cpu::HostMatmul& job, TensorForm form) {
  const WeightSpec& spec = job.w.spec;
  if (!spec.quantization.is_on()) return {form, cpu::CodeForm::kNone, spec.dtype};
  return {form, cpu::form_of(spec.quantization), DType::kF32};
}

/// Products sorted into launches, with their places in scratch memory.
class TensorPlan {
 public:
  /// `scratch` null: only bytes() is asked for.
  TensorPlan(const std::vector<cpu::HostMatmul>& jobs, const ProductMethod& method, void* scratch)
      : method_(method), scratch_(static_cast<char*>(scratch)) {
    for (const cpu::HostMatmul& job : jobs) {
      if (job.num_rows == 0 || job.w.spec.rows == 0) continue;
      const TensorForm form = form_of(job, method);
      if (is_by_warpgroups(form)) {
        tiles_ += column_tiles(job.w.spec, form) * divide_up(job.num_rows, rows_of_tile(form));
      }
    }
    for (const cpu::HostMatmul& job : jobs) {
      if (job.num_rows > 0 && job.w.spec.rows > 0) add(job);
    }
  }

  int64_t bytes() const { return bytes_; }

  void run(CudaQueue& queue) {
    if (!roundings_.empty()) {
      round_rows(queue.stream(), make_batch(queue, roundings_, round_blocks), method_.arithmetic);
    }
    for (auto& [kind, members] : batches_) launch(queue, kind, members);
    if (joined_.empty()) return;
    join_partial_sums(queue.stream(), make_batch(queue, joined_, [](const TensorJob& job) {
                        return divide_up(job.job.num_rows * job.job.w.spec.rows, kJoinThreads);
                      }));
  }

 private:
  void add(const cpu::HostMatmul& job) {
    const WeightSpec& spec = job.w.spec;
    const TensorForm form = form_of(job, method_);
    TensorJob entry;
    entry.job = job;
    if (job.x_stride == 0) entry.job.x_stride = spec.cols;
    if (job.out_stride == 0) entry.job.out_stride = spec.rows;
    if (spec.quantization.is_on()) entry.layout = cpu::layout_of(spec);
    entry.segments = tensor_segments(spec.rows, spec.cols);
    entry.row_tiles = divide_up(job.num_rows, rows_of_tile(form));
    if (is_by_warpgroups(form)) entry.rounded = rounded(entry.job);
    const int64_t floats = entry.segments.count * job.num_rows * spec.rows;
    if (shares_sums(form, entry.segments, floats)) {
      entry.sharing_blocks = entry.segments.count;
      entry.partial = static_cast<float*>(place(floats * size_of(DType::kF32)));
      joined_.push_back(entry);
    }
    batches_[kind_of(job, form)].push_back(entry);
  }

  /// Few rows share; many only where all tiles of the call leave multiprocessors idle, and not for
  /// the price of much memory.
  bool shares_sums(TensorForm form, const TensorSegments& segments, int64_t floats) {
    if (segments.count == 1 || form == TensorForm::kMany) return false;
    if (form == TensorForm::kFew) return true;
    if (tiles_ >= kMultiprocessors || floats > shared_floats_left_) return false;
    shared_floats_left_ -= floats;
    return true;
  }

  /// Rows that several weights take (queries, keys and values) are rounded once.
  const uint16_t* rounded(const cpu::HostMatmul& job) {
    const int64_t cols = job.w.spec.cols;
    for (const RoundJob& known : roundings_) {
      if (known.x == job.x && known.x_stride == job.x_stride && known.num_rows == job.num_rows &&
          known.cols == cols) {
        return known.out;
      }
    }
    auto* const out = static_cast<uint16_t*>(place(rounded_bytes(job.num_rows, cols)));
    roundings_.push_back({job.x, job.x_stride, job.num_rows, cols, out});
    return out;
  }

  void* place(int64_t bytes) {
    void* const at = scratch_ == nullptr ? nullptr : scratch_ + bytes_;
    bytes_ += align(bytes);
    return at;
  }

  void launch(CudaQueue& queue, const Kind& kind, std::vector<TensorJob>& members) const {
    const auto [form, codes, dtype] = kind;
    const bool is_plain = codes == cpu::CodeForm::kNone;
    TensorBatch batch{make_batch(queue, members,
                                 [form = form](const TensorJob& job) {
                                   return column_tiles(job.job.w.spec, form) * job.row_tiles *
                                          job.sharing_blocks;
                                 }),
                      form, method_.arithmetic};
    if (is_by_warpgroups(form)) {
      if (is_plain) return warpgroup_products_plain(queue.stream(), batch);
      return warpgroup_products_quantized(queue.stream(), batch, codes);
    }
    if (is_plain) return tensor_products_plain(queue.stream(), batch, dtype);
    tensor_products_quantized(queue.stream(), batch, codes);
  }

  const ProductMethod method_;
  char* const scratch_;
  int64_t bytes_ = 0;
  int64_t tiles_ = 0;  // of warpgroups, in all jobs
  int64_t shared_floats_left_ = kMostSharedFloats;
  std::vector<RoundJob> roundings_;
  std::map<Kind, std::vector<TensorJob>> batches_;
  std::vector<TensorJob> joined_;
};

}  // namespace

TensorSegments tensor_segments(int64_t n, int64_t k) {
  constexpr int64_t kLeastDepth = 256;
  const int64_t tiles = std::max<int64_t>(1, divide_up(n, kTensorOutputs));
  const int64_t count = std::clamp<int64_t>(divide_up(kWantedBlocks, tiles), 1,
                                            std::max<int64_t>(1, k / kLeastDepth));
  const int64_t depth =
      std::max<int64_t>(1, divide_up(divide_up(k, count), kTensorDepth)) * kTensorDepth;
  return {.count = std::max<int64_t>(1, divide_up(k, depth)), .depth = depth};
}

int64_t tensor_scratch_bytes(const std::vector<cpu::HostMatmul>& jobs,
                             const ProductMethod& method) {
  return TensorPlan(jobs, method, nullptr).bytes();
}

int64_t tensor_scratch_bound(const WeightSpec& spec, int64_t rows, int64_t jobs,
                             const ProductMethod& method) {
  const int64_t used = std::min(jobs, rows);
  const int64_t segments = tensor_segments(spec.rows, spec.cols).count;
  const int64_t few = std::min(rows, used * kFewTensorRows);
  int64_t bytes = used * 256;
  if (segments > 1) bytes += segments * few * spec.rows * size_of(DType::kF32);
  if (method.many_rows == ManyRows::kWarps) return align(bytes);
  bytes += rounded_bytes(rows + used * (kRoundedRows - 1), spec.cols) + used * 256;
  if (segments > 1) {
    bytes += std::min(kMostSharedFloats, segments * rows * spec.rows) * size_of(DType::kF32);
  }
  return align(bytes);
}

void tensor_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                     const ProductMethod& method, void* scratch) {
  TensorPlan(jobs, method, scratch).run(queue);
}

}  // namespace switchyard::cuda
