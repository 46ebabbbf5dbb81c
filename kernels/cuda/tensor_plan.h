// Products on tensor cores sorted into launches, with their places in scratch memory.
#pragma once

#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "kernels/cuda/round_rows.h"
#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {

/// A product whose rows may be rounded already, and whose outputs may become hidden units.
struct TensorProduct {
  cpu::HostMatmul job;
  /// x lies in tiles of round_rows.h, see TensorPlan::set_rounded(); job.x is not read.
  bool has_rounded = false;
  /// An expert's up matrix of which the hidden units alone are wanted, rounded, where a kernel can
  /// give these: see TensorPlan::makes_units().
  bool wants_units = false;
  FfnForm form = {};  // of the units
};

/// Products as they are.
std::vector<TensorProduct> plain_products(const std::vector<cpu::HostMatmul>& jobs);

/// Whether the rows of a product are multiplied from tiles of round_rows.h.
bool takes_rounded_rows(const cpu::HostMatmul& job, const ProductMethod& method);

/// Products that do not depend on each other.
class TensorPlan {
 public:
  TensorPlan(const std::vector<TensorProduct>& products, const ProductMethod& method);

  /// Bytes of scratch for partial sums and rounded rows, a multiple of 256.
  int64_t bytes() const { return bytes_; }

  /// Whether product `i` gives hidden units in tiles of round_rows.h, and not its job's outputs.
  bool makes_units(size_t i) const { return entries_[i].makes_units; }
  void set_units(size_t i, uint16_t* units) { entries_[i].job.units = units; }
  /// Of a product that has_rounded.
  void set_rounded(size_t i, const uint16_t* rows) { entries_[i].job.rounded = rows; }
  /// Takes the rows of another product from elsewhere, if no other has the same.
  void set_rows(size_t i, const float* x, int64_t stride);

  /// Enqueues all products. Units and rounded rows are set by then.
  void run(CudaQueue& queue, void* scratch);

 private:
  /// What one launch has in common: form, that of the codes, and without these the type.
  using Kind = std::tuple<TensorForm, cpu::CodeForm, DType>;

  struct Entry {
    TensorJob job;
    TensorForm form = TensorForm::kFew;
    bool is_empty = true;
    bool makes_units = false;
    int64_t partial_at = -1;  // in scratch; -1: none
    int64_t rounding = -1;    // number in roundings_; -1: none
  };
  struct Rounding {
    RoundJob job;
    int64_t at = 0;  // in scratch
  };

  void add(const TensorProduct& product, Entry& entry);
  bool shares_sums(TensorForm form, const TensorSegments& segments, int64_t floats);
  void add_to_library(const TensorProduct& product, Entry& entry);
  int64_t rounding_of(const cpu::HostMatmul& job, bool is_row_major);
  int64_t place(int64_t bytes);
  static Kind kind_of(const Entry& entry);
  void launch(CudaQueue& queue, const Kind& kind, std::vector<TensorJob>& members) const;
  void multiply_by_library(CudaQueue& queue, const TensorJob& job) const;

  const ProductMethod method_;
  int64_t bytes_ = 0;
  int64_t tiles_ = 0;  // of warpgroups, in all products
  int64_t shared_floats_left_;
  std::vector<Entry> entries_;  // as the products
  std::vector<Rounding> roundings_;
};

}  // namespace switchyard::cuda
