#include "kernels/cuda/panel_products.h"

#include <algorithm>

#include "kernels/cpu/activate_impl.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/instructions/async_copy.cuh"
#include "kernels/cuda/job_batch.cuh"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/panel_reader.cuh"

namespace switchyard::cuda {
namespace {

constexpr int64_t kPanel = cpu::kPanelWidth;

/// A job as a kernel sees it.
struct Product {
  cpu::HostMatmul job;  // strides told
  cpu::QuantizedLayout layout;
  int64_t row_tiles;
  int64_t first_block;
};

/// kRows rows of activations at some inputs; rows past the last one repeat it.
template <int kRows>
struct RowPointers {
  const float* x[kRows];

  __device__ RowPointers(const Product& product, int64_t first_row) {
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first_row + r;
      const int64_t last = product.job.num_rows - 1;
      x[r] = product.job.x + (row < last ? row : last) * product.job.x_stride;
    }
  }
};

/// Adds inputs [k, k + count) to the chains, count at most 8. The same address for a whole warp:
/// one access of the first-level cache for 32 lanes, four inputs of a row in it where rows are
/// aligned.
template <int kRows, int kPanels>
__device__ void add_inputs(const RowPointers<kRows>& rows, int64_t k, int count, bool is_aligned,
                           const float (&w)[kPanels][kInputsPerStep],
                           float (&sums)[kRows][kPanels]) {
  if (count == kInputsPerStep && is_aligned) {
    SWITCHYARD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const float4 low = *reinterpret_cast<const float4*>(rows.x[r] + k);
      const float4 high = *reinterpret_cast<const float4*>(rows.x[r] + k + 4);
      const float x[kInputsPerStep] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
      SWITCHYARD_UNROLL
      for (int i = 0; i < kInputsPerStep; ++i) {
        SWITCHYARD_UNROLL
        for (int p = 0; p < kPanels; ++p) sums[r][p] = fmaf(x[i], w[p][i], sums[r][p]);
      }
    }
    return;
  }
  SWITCHYARD_UNROLL
  for (int i = 0; i < kInputsPerStep; ++i) {
    if (i >= count) break;
    SWITCHYARD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const float x = rows.x[r][k + i];
      SWITCHYARD_UNROLL
      for (int p = 0; p < kPanels; ++p) sums[r][p] = fmaf(x, w[p][i], sums[r][p]);
    }
  }
}

template <int kRows, int kPanels>
__device__ void store_outputs(const Product& product, int64_t first_panel, int64_t first_row,
                              const float (&sums)[kRows][kPanels]) {
  const cpu::HostMatmul& job = product.job;
  SWITCHYARD_UNROLL
  for (int p = 0; p < kPanels; ++p) {
    const int64_t n = (first_panel + p) * kPanel + threadIdx.x % kPanel;
    if (n >= job.w.spec.rows) continue;
    SWITCHYARD_UNROLL
    for (int r = 0; r < kRows; ++r) {
      const int64_t row = first_row + r;
      if (row >= job.num_rows) continue;
      float y = sums[r][p];
      if (job.bias != nullptr) y = y + job.bias[n];
      y = cpu::activate(job.activation, LaneVec{y}).v * job.scale;
      if (job.residual != nullptr) y = y + job.residual[row * job.w.spec.rows + n];
      job.out[row * product.job.out_stride + n] = y;
    }
  }
}

/// A block: kWarps warps with kRows rows each, over kPanels panels. A lane holds an output of each
/// panel for its warp's rows. Few rows (one warp, one panel) are bound by the memory that the
/// weights stream from, kStages pieces ahead; many rows by multiply-adds: 32 of them for a lane's
/// two weights and four times four inputs.
template <class Reader, int kRows, int kPanels, int kWarps>
__global__ void panel_products_kernel(JobBatch<Product> batch) {
  if (!has_work(batch)) return;
  const Product& product = job_of_block(batch);
  const int64_t local = blockIdx.x - product.first_block;
  const int64_t first_panel = local / product.row_tiles * kPanels;
  const int64_t first_row = (local % product.row_tiles * kWarps + threadIdx.x / kPanel) * kRows;
  const WeightSpec& spec = product.job.w.spec;
  const RowPointers<kRows> rows(product, first_row);
  const bool is_aligned =
      product.job.x_stride % 4 == 0 && reinterpret_cast<uintptr_t>(product.job.x) % 16 == 0;
  float sums[kRows][kPanels] = {};
  Reader reader(product.job.w, product.layout, first_panel);
  for (int64_t k = 0; k < spec.cols; k += kInputsPerStep) {
    float w[kPanels][kInputsPerStep];
    reader.read(k, w);
    const int64_t left = spec.cols - k;
    add_inputs(rows, k, left < kInputsPerStep ? static_cast<int>(left) : kInputsPerStep, is_aligned,
               w, sums);
  }
  store_outputs(product, first_panel, first_row, sums);
}

/// The products of a launch; `groups` if only the device knows their rows.
struct ProductBatch {
  std::vector<Product>& products;
  const CountedGroups* groups = nullptr;
};

template <template <int> class ReaderOf, int kRows, int kPanels, int kWarps>
void launch_products(CudaQueue& queue, const ProductBatch& products) {
  using Reader = ReaderOf<kPanels>;
  const auto column_tiles = [](const Product& product) {
    return int64_t{blocks_for(product.job.w.spec.rows, kPanels * kPanel)};
  };
  JobBatch<Product> batch;
  if (products.groups != nullptr) {
    batch = make_counted_batch(queue, products.products, *products.groups,
                               {kRows * kWarps, column_tiles(products.products.front())});
  } else {
    batch = make_batch(queue, products.products, [&](Product& product) {
      product.row_tiles = blocks_for(product.job.num_rows, kRows * kWarps);
      return product.row_tiles * column_tiles(product);
    });
  }
  launch(panel_products_kernel<Reader, kRows, kPanels, kWarps>,
         {static_cast<unsigned>(batch.num_blocks), kWarps * kPanel, Reader::kSharedBytes},
         queue.stream(), batch);
}

/// Products of one form of weights and at most so many rows, which decide how they are cut.
constexpr int64_t kRowsOfCut[] = {1, 4, 8, INT64_MAX};

template <template <int> class ReaderOf>
void launch_cut(CudaQueue& queue, size_t cut, const ProductBatch& products) {
  switch (cut) {
    case 0:
      return launch_products<ReaderOf, 1, 1, 1>(queue, products);
    case 1:
      return launch_products<ReaderOf, 4, 1, 1>(queue, products);
    case 2:
      return launch_products<ReaderOf, 8, 1, 1>(queue, products);
    default:
      return launch_products<ReaderOf, 16, 2, 4>(queue, products);
  }
}

/// Forms of weights that kernels tell apart.
enum class Form : uint8_t { kF32, kF16, kBF16, kInt8, kInt4, kInt3, kInt2, kE4m3, kE2m1 };
constexpr size_t kNumForms = 9;

Form form_of(const WeightSpec& spec) {
  if (!spec.quantization.is_on()) {
    if (spec.dtype == DType::kF16) return Form::kF16;
    return spec.dtype == DType::kBF16 ? Form::kBF16 : Form::kF32;
  }
  switch (cpu::form_of(spec.quantization)) {
    case CodeForm::kInt8:
      return Form::kInt8;
    case CodeForm::kInt4:
      return Form::kInt4;
    case CodeForm::kInt3:
      return Form::kInt3;
    case CodeForm::kE4m3:
      return Form::kE4m3;
    case CodeForm::kE2m1:
      return Form::kE2m1;
    default:
      return Form::kInt2;
  }
}

void launch_form(CudaQueue& queue, Form form, size_t cut, const ProductBatch& products) {
  switch (form) {
    case Form::kF32:
      return launch_cut<F32PanelReader>(queue, cut, products);
    case Form::kF16:
      return launch_cut<F16PanelReader>(queue, cut, products);
    case Form::kBF16:
      return launch_cut<BF16PanelReader>(queue, cut, products);
    case Form::kInt8:
      return launch_cut<Int8PanelReader>(queue, cut, products);
    case Form::kInt4:
      return launch_cut<Int4PanelReader>(queue, cut, products);
    case Form::kInt3:
      return launch_cut<Int3PanelReader>(queue, cut, products);
    case Form::kInt2:
      return launch_cut<Int2PanelReader>(queue, cut, products);
    case Form::kE4m3:
      return launch_cut<E4m3PanelReader>(queue, cut, products);
    case Form::kE2m1:
      return launch_cut<E2m1PanelReader>(queue, cut, products);
  }
}

Product make_product(const cpu::HostMatmul& job) {
  Product product = {};
  product.job = job;
  if (job.w.spec.quantization.is_on()) product.layout = cpu::layout_of(job.w.spec);
  if (job.x_stride == 0) product.job.x_stride = job.w.spec.cols;
  if (job.out_stride == 0) product.job.out_stride = job.w.spec.rows;
  return product;
}

}  // namespace

void panel_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs) {
  constexpr size_t kNumCuts = std::size(kRowsOfCut);
  std::vector<Product> sorted[kNumForms][kNumCuts];
  for (const cpu::HostMatmul& job : jobs) {
    if (job.num_rows == 0 || job.w.spec.rows == 0) continue;
    size_t cut = 0;
    while (job.num_rows > kRowsOfCut[cut]) ++cut;
    sorted[static_cast<size_t>(form_of(job.w.spec))][cut].push_back(make_product(job));
  }
  for (size_t form = 0; form < kNumForms; ++form) {
    for (size_t cut = 0; cut < kNumCuts; ++cut) {
      if (sorted[form][cut].empty()) continue;
      launch_form(queue, static_cast<Form>(form), cut, {sorted[form][cut]});
    }
  }
}

void counted_panel_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                            const CountedGroups& groups) {
  // Cut for four rows: experts of steps that count on the device have few.
  constexpr size_t kCut = 1;
  std::vector<Product> products;
  for (const cpu::HostMatmul& job : jobs) products.push_back(make_product(job));
  launch_form(queue, form_of(jobs.front().w.spec), kCut, {products, &groups});
}

}  // namespace switchyard::cuda
