#include "kernels/cpu/matmul_driver.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cpu/packing.h"

namespace switchyard::cpu {
namespace {

/// Packed rows of one block: they stay in the L2 cache (1 to 2 MiB on servers) beside a panel.
constexpr int64_t kBlockBytes = int64_t{512} << 10;
/// Multiply-adds of one task at least: some 5 us of one core, many times the cost of handing it
/// out.
constexpr int64_t kWorkPerTask = int64_t{1} << 17;
/// Below this, waking other threads costs more than they save.
constexpr int64_t kWorkForThreads = int64_t{1} << 16;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

TilePartition cut_into_tiles(int64_t num_rows, int64_t tile_rows) {
  const int64_t tiles = divide_up(num_rows, tile_rows);
  return {.num_tiles = tiles, .short_rows = num_rows / tiles, .num_longer = num_rows % tiles};
}

/// Bytes of a packed block, so rounded that the next one begins on a cache line.
int64_t packed_block_bytes(int64_t num_rows, int64_t k) { return divide_up(num_rows * k, 16) * 64; }

}  // namespace

MatmulScratch::MatmulScratch(int num_threads)
    : num_threads_(num_threads),
      per_thread_(num_threads * kBlockScratchBytes),
      packed_rows_(num_threads * kBlockBytes) {}

int64_t MatmulScratch::bytes(int num_threads) {
  return num_threads * (kBlockScratchBytes + kBlockBytes);
}

/// Collects blocks of rows while their packed form fits in the scratch, then computes them.
class MatmulRun {
 public:
  MatmulRun(const CpuKernels& kernels, ThreadPool& pool, MatmulScratch& scratch)
      : kernels_(kernels), pool_(pool), scratch_(scratch) {
    SWITCHYARD_CHECK(pool.num_threads() <= scratch.num_threads_);
  }

  /// Adds a job; `job` must stay until finish().
  void add(const HostMatmul& job) {
    const int64_t n = job.w.spec.rows;
    const int64_t k = job.w.spec.cols;
    if (job.num_rows == 0 || n == 0) return;
    const int64_t fit = kBlockBytes / (4 * std::max<int64_t>(k, 1)) / kernels_.tile_rows;
    const int64_t most_rows = std::clamp(fit * kernels_.tile_rows, int64_t{kernels_.tile_rows},
                                         kMaxBlockRows / kernels_.tile_rows * kernels_.tile_rows);
    const int64_t num_blocks = divide_up(job.num_rows, most_rows);
    for (int64_t i = 0; i < num_blocks; ++i) {
      const int64_t first = job.num_rows * i / num_blocks;
      add_block(job, first, job.num_rows * (i + 1) / num_blocks - first);
    }
  }

  /// Computes what has been added.
  void finish() {
    if (scratch_.units_.empty()) return;
    pack();
    multiply();
    scratch_.units_.clear();
    scratch_.pack_tasks_.clear();
    packed_used_ = 0;
    num_panels_ = 0;
    work_ = 0;
  }

 private:
  void add_block(const HostMatmul& job, int64_t first_row, int64_t num_rows) {
    const int64_t k = job.w.spec.cols;
    MatmulScratch::Unit unit;
    unit.job = &job;
    unit.first_row = first_row;
    unit.num_rows = num_rows;
    unit.tiles = cut_into_tiles(num_rows, kernels_.tile_rows);
    unit.packed_rows = job.x_row(first_row);
    if (job.w.spec.quantization.is_on()) unit.quantized = layout_of(job.w.spec);
    // One row is its own packed form: many experts of one row each need no copy.
    if (num_rows > 1) unit.packed_rows = plan_packing(unit, k);
    num_panels_ += num_panels(job.w.spec.rows);
    work_ += num_rows * k * num_panels(job.w.spec.rows) * kPanelWidth;
    scratch_.units_.push_back(unit);
  }

  /// Reserves the unit's place in the packed rows and lists its tiles for packing.
  const float* plan_packing(const MatmulScratch::Unit& unit, int64_t k) {
    const int64_t bytes = packed_block_bytes(unit.num_rows, k);
    if (packed_used_ + bytes > scratch_.packed_rows_.bytes()) finish();
    if (bytes > scratch_.packed_rows_.bytes()) scratch_.packed_rows_ = AlignedBuffer(bytes);
    float* const packed = scratch_.packed_rows_.as<float>() + packed_used_ / 4;
    packed_used_ += bytes;
    int64_t row = 0;
    for (int64_t tile = 0; tile < unit.tiles.num_tiles; ++tile) {
      const int64_t rows = unit.tiles.short_rows + (tile < unit.tiles.num_longer ? 1 : 0);
      scratch_.pack_tasks_.push_back({.rows = unit.job->x_row(unit.first_row + row),
                                      .num_rows = rows,
                                      .k = k,
                                      .stride = unit.job->x_row(1) - unit.job->x,
                                      .packed = packed + row * k});
      row += rows;
    }
    return packed;
  }

  void pack() {
    for_each(static_cast<int64_t>(scratch_.pack_tasks_.size()), [this](int64_t i, int) {
      const MatmulScratch::PackTask& task = scratch_.pack_tasks_[static_cast<size_t>(i)];
      kernels_.pack_tile(task.rows, task.stride, task.num_rows, task.k, task.packed);
    });
  }

  void multiply() {
    int64_t num_tasks = 0;
    for (MatmulScratch::Unit& unit : scratch_.units_) {
      unit.panels_per_task = panels_per_task(unit);
      unit.first_task = num_tasks;
      num_tasks += divide_up(num_panels(unit.job->w.spec.rows), unit.panels_per_task);
    }
    for_each(num_tasks, [this](int64_t task, int thread) { multiply_part(task, thread); });
  }

  /// Enough panels for a task that is worth handing out, few enough for every thread to get work.
  int64_t panels_per_task(const MatmulScratch::Unit& unit) const {
    const int64_t pass = unit.tiles.num_tiles == 1 ? kernels_.panels_per_pass[unit.num_rows] : 1;
    const int64_t work_per_pass = unit.num_rows * unit.job->w.spec.cols * kPanelWidth * pass;
    const int64_t passes = divide_up(kWorkPerTask, std::max<int64_t>(work_per_pass, 1));
    const int64_t share = std::max<int64_t>(num_panels_ / (2 * pool_.num_threads()), 1);
    return std::min(passes * pass, share < pass ? share : share / pass * pass);
  }

  void multiply_part(int64_t task, int thread) {
    const auto after = std::upper_bound(
        scratch_.units_.begin(), scratch_.units_.end(), task,
        [](int64_t value, const MatmulScratch::Unit& unit) { return value < unit.first_task; });
    const MatmulScratch::Unit& unit = *std::prev(after);
    const HostMatmul& job = *unit.job;
    const int64_t first_panel = (task - unit.first_task) * unit.panels_per_task;
    const int64_t n = job.w.spec.rows;
    kernels_.matmul_block(
        {.packed_rows = unit.packed_rows,
         .num_rows = unit.num_rows,
         .tiles = unit.tiles,
         .k = job.w.spec.cols,
         .panels = job.w.data,
         .dtype = job.w.spec.dtype,
         .quantized = unit.quantized,
         .first_panel = first_panel,
         .num_panels = std::min(unit.panels_per_task, num_panels(n) - first_panel),
         .n = n,
         .bias = job.bias,
         .activation = job.activation,
         .scale = job.scale,
         .residual = job.residual == nullptr ? nullptr : job.residual + unit.first_row * n,
         .out = job.out_row(unit.first_row),
         .out_stride = job.out_row(1) - job.out,
         .scratch = scratch_.per_thread_.as<float>() + thread * (kBlockScratchBytes / 4)});
  }

  template <typename Body>
  void for_each(int64_t num_tasks, const Body& body) {
    if (work_ >= kWorkForThreads) return pool_.parallel_for(num_tasks, body);
    for (int64_t task = 0; task < num_tasks; ++task) body(task, 0);
  }

  const CpuKernels& kernels_;
  ThreadPool& pool_;
  MatmulScratch& scratch_;
  int64_t packed_used_ = 0;  // bytes
  int64_t num_panels_ = 0;   // of all units
  int64_t work_ = 0;         // multiply-adds of all units
};

void matmul(const CpuKernels& kernels, ThreadPool& pool, MatmulScratch& scratch,
            const HostMatmul& args) {
  MatmulRun run(kernels, pool, scratch);
  run.add(args);
  run.finish();
}

void matmul_all(const CpuKernels& kernels, ThreadPool& pool, MatmulScratch& scratch,
                const std::vector<HostMatmul>& jobs) {
  MatmulRun run(kernels, pool, scratch);
  for (const HostMatmul& job : jobs) run.add(job);
  run.finish();
}

}  // namespace switchyard::cpu
