#include "kernels/cuda/tensor_plan.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cuda/library_products.h"
#include "kernels/cuda/packing.h"

namespace switchyard::cuda {
namespace {

constexpr int64_t kMultiprocessors = 132;  // of an H100
/// Blocks that wait for memory: two a multiprocessor.
constexpr int64_t kWantedBlocks = 2 * kMultiprocessors;
/// Partial sums of many rows in a call at most.
constexpr int64_t kMostSharedFloats = int64_t{16} << 20;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
int64_t align(int64_t bytes) { return divide_up(bytes, 256) * 256; }

bool is_by_warpgroups(TensorForm form) {
  return form != TensorForm::kFew && form != TensorForm::kMany && form != TensorForm::kLibrary;
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
    case TensorForm::kLibrary:
      break;
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
  if (method.library != nullptr && is_library_weight(spec, method.arithmetic)) {
    return TensorForm::kLibrary;
  }
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

/// Whether a block of warpgroups has whole units, and a whole tile of round_rows.h of them.
bool has_whole_units(const TensorProduct& product) {
  const int64_t units = product.job.w.spec.rows / product.form.rows_per_unit();
  return units % kRoundedInputs == 0 && product.job.scale == 1.0f &&
         product.job.residual == nullptr;
}

}  // namespace

std::vector<TensorProduct> plain_products(const std::vector<cpu::HostMatmul>& jobs) {
  std::vector<TensorProduct> products;
  products.reserve(jobs.size());
  for (const cpu::HostMatmul& job : jobs) products.push_back({.job = job});
  return products;
}

bool takes_rounded_rows(const cpu::HostMatmul& job, const ProductMethod& method) {
  return is_by_warpgroups(form_of(job, method));
}

TensorPlan::TensorPlan(const std::vector<TensorProduct>& products, const ProductMethod& method)
    : method_(method), shared_floats_left_(kMostSharedFloats), entries_(products.size()) {
  for (size_t i = 0; i < products.size(); ++i) {
    const cpu::HostMatmul& job = products[i].job;
    Entry& entry = entries_[i];
    entry.is_empty = job.num_rows == 0 || job.w.spec.rows == 0;
    if (entry.is_empty) continue;
    entry.form = form_of(job, method);
    if (is_by_warpgroups(entry.form)) {
      tiles_ +=
          column_tiles(job.w.spec, entry.form) * divide_up(job.num_rows, rows_of_tile(entry.form));
    }
  }
  for (size_t i = 0; i < products.size(); ++i) {
    if (!entries_[i].is_empty) add(products[i], entries_[i]);
  }
}

void TensorPlan::add(const TensorProduct& product, Entry& entry) {
  const WeightSpec& spec = product.job.w.spec;
  TensorJob& job = entry.job;
  job.job = product.job;
  if (job.job.x_stride == 0) job.job.x_stride = spec.cols;
  if (job.job.out_stride == 0) job.job.out_stride = spec.rows;
  if (entry.form == TensorForm::kLibrary) return add_to_library(product, entry);
  if (spec.quantization.is_on()) job.layout = cpu::layout_of(spec);
  job.segments = tensor_segments(spec.rows, spec.cols);
  job.row_tiles = divide_up(job.job.num_rows, rows_of_tile(entry.form));
  job.form = product.form;
  const bool is_rounded = is_by_warpgroups(entry.form);
  SWITCHYARD_CHECK(is_rounded || !product.has_rounded);
  if (is_rounded && !product.has_rounded) entry.rounding = rounding_of(job.job, false);
  const int64_t floats = job.segments.count * job.job.num_rows * spec.rows;
  if (shares_sums(entry.form, job.segments, floats)) {
    job.sharing_blocks = job.segments.count;
    entry.partial_at = place(floats * size_of(DType::kF32));
  }
  entry.makes_units =
      product.wants_units && is_rounded && entry.partial_at < 0 && has_whole_units(product);
}

/// Its sums are those of one segment, which are joined where something stands behind them.
void TensorPlan::add_to_library(const TensorProduct& product, Entry& entry) {
  const cpu::HostMatmul& job = product.job;
  entry.job.segments = {1, job.w.spec.cols};
  entry.rounding = rounding_of(entry.job.job, true);
  const bool is_plain = job.bias == nullptr && job.activation == Activation::kNone &&
                        job.scale == 1.0f && job.residual == nullptr;
  if (!is_plain) entry.partial_at = place(job.num_rows * job.w.spec.rows * size_of(DType::kF32));
}

/// Few rows share; many only where all tiles of the call leave multiprocessors idle, and not for
/// the price of much memory.
bool TensorPlan::shares_sums(TensorForm form, const TensorSegments& segments, int64_t floats) {
  if (segments.count == 1 || form == TensorForm::kMany) return false;
  if (form == TensorForm::kFew) return true;
  if (tiles_ >= kMultiprocessors || floats > shared_floats_left_) return false;
  shared_floats_left_ -= floats;
  return true;
}

/// Rows that several weights take (queries, keys and values) are rounded once.
int64_t TensorPlan::rounding_of(const cpu::HostMatmul& job, bool is_row_major) {
  const int64_t cols = job.w.spec.cols;
  for (size_t i = 0; i < roundings_.size(); ++i) {
    const RoundJob& known = roundings_[i].job;
    if (known.x == job.x && known.x_stride == job.x_stride && known.num_rows == job.num_rows &&
        known.cols == cols && known.is_row_major == is_row_major) {
      return static_cast<int64_t>(i);
    }
  }
  roundings_.push_back({{job.x, job.x_stride, job.num_rows, cols, nullptr, is_row_major},
                        place(rounded_bytes(job.num_rows, cols))});
  return static_cast<int64_t>(roundings_.size()) - 1;
}

int64_t TensorPlan::place(int64_t bytes) {
  const int64_t at = bytes_;
  bytes_ += align(bytes);
  return at;
}

TensorPlan::Kind TensorPlan::kind_of(const Entry& entry) {
  const WeightSpec& spec = entry.job.job.w.spec;
  if (!spec.quantization.is_on()) return {entry.form, cpu::CodeForm::kNone, spec.dtype};
  return {entry.form, cpu::form_of(spec.quantization), DType::kF32};
}

void TensorPlan::set_rows(size_t i, const float* x, int64_t stride) {
  Entry& entry = entries_[i];
  entry.job.job.x = x;
  entry.job.job.x_stride = stride;
  if (entry.rounding < 0) return;
  RoundJob& rounding = roundings_[static_cast<size_t>(entry.rounding)].job;
  rounding.x = x;
  rounding.x_stride = stride;
}

void TensorPlan::run(CudaQueue& queue, void* scratch) {
  char* const base = static_cast<char*>(scratch);
  std::vector<RoundJob> roundings;
  for (Rounding& rounding : roundings_) {
    rounding.job.out = reinterpret_cast<uint16_t*>(base + rounding.at);
    roundings.push_back(rounding.job);
  }
  std::map<Kind, std::vector<TensorJob>> batches;
  std::vector<TensorJob> joined;
  for (Entry& entry : entries_) {
    if (entry.is_empty) continue;
    TensorJob& job = entry.job;
    if (entry.rounding >= 0) job.rounded = roundings[static_cast<size_t>(entry.rounding)].out;
    if (entry.partial_at >= 0) {
      job.partial = reinterpret_cast<float*>(base + entry.partial_at);
      joined.push_back(job);
    }
    batches[kind_of(entry)].push_back(job);
  }
  if (!roundings.empty()) {
    round_rows(queue.stream(), make_batch(queue, roundings, round_blocks), method_.arithmetic);
  }
  for (auto& [kind, members] : batches) launch(queue, kind, members);
  if (joined.empty()) return;
  join_partial_sums(queue.stream(), make_batch(queue, joined, [](const TensorJob& job) {
                      return divide_up(job.job.num_rows * job.job.w.spec.rows, kJoinThreads);
                    }));
}

void TensorPlan::launch(CudaQueue& queue, const Kind& kind, std::vector<TensorJob>& members) const {
  const auto [form, codes, dtype] = kind;
  if (form == TensorForm::kLibrary) {
    for (const TensorJob& job : members) multiply_by_library(queue, job);
    return;
  }
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

void TensorPlan::multiply_by_library(CudaQueue& queue, const TensorJob& job) const {
  const cpu::HostMatmul& product = job.job;
  const bool is_plain = job.partial == nullptr;
  method_.library->multiply(queue.stream(), method_.arithmetic,
                            {.weights = product.w.data,
                             .rows = job.rounded,
                             .num_rows = product.num_rows,
                             .n = product.w.spec.rows,
                             .k = product.w.spec.cols,
                             .out = is_plain ? product.out : job.partial,
                             .out_stride = is_plain ? product.out_stride : product.w.spec.rows});
}

TensorSegments tensor_segments(int64_t n, int64_t k) {
  constexpr int64_t kLeastDepth = 256;
  const int64_t tiles = std::max<int64_t>(1, divide_up(n, kTensorOutputs));
  const int64_t count = std::clamp<int64_t>(divide_up(kWantedBlocks, tiles), 1,
                                            std::max<int64_t>(1, k / kLeastDepth));
  const int64_t depth =
      std::max<int64_t>(1, divide_up(divide_up(k, count), kTensorDepth)) * kTensorDepth;
  return {.count = std::max<int64_t>(1, divide_up(k, depth)), .depth = depth};
}

int64_t tensor_scratch_bound(const WeightSpec& spec, int64_t rows, int64_t jobs,
                             const ProductMethod& method) {
  const int64_t used = std::min(jobs, rows);
  if (method.library != nullptr && is_library_weight(spec, method.arithmetic)) {
    const int64_t tiles = rounded_bytes(rows + used * (kRoundedRows - 1), spec.cols);
    return align(tiles + rows * spec.rows * size_of(DType::kF32) + 2 * used * 256);
  }
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
                     const ProductMethod& method) {
  TensorPlan plan(plain_products(jobs), method);
  plan.run(queue, queue.scratch(plan.bytes()));
}

}  // namespace switchyard::cuda
