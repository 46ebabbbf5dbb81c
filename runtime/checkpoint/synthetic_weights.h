// Random weights with which a model behaves like a trained one: nothing explodes or vanishes, and
// tokens spread over the experts.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/dtype.h"
#include "runtime/model_config.h"

namespace switchyard {

struct WeightDistribution {
  double mean = 0.0;
  double standard_deviation = 1.0;
};

/// The normal distribution of a tensor's elements: 1 / sqrt(inputs) for linear maps, less for those
/// that add to the residual stream, about 1 for the gains of norms. `name` and `shape` as in
/// expected_tensors().
WeightDistribution weight_distribution(const ModelConfig& config, const std::string& name,
                                       const std::vector<int64_t>& shape);

/// Gives elements of a model's tensors. Element i of tensor NAME is a function of (seed, NAME, i)
/// and its distribution alone, with the same bits on every machine: one of 65,536 quantiles,
/// rounded to the type.
class SyntheticWeights {
 public:
  /// `dtype` is fp32, fp16 or bf16. `config` must outlive the object.
  SyntheticWeights(const ModelConfig& config, DType dtype, uint64_t seed);

  /// Writes elements [first, first + count) of the tensor in row-major order into `to`, which
  /// receives count * size_of(dtype) bytes and is aligned to that size. Any thread.
  void fill(const std::string& name, const std::vector<int64_t>& shape, int64_t first,
            int64_t count, void* to) const;

 private:
  const std::vector<char>& quantiles(const WeightDistribution& distribution) const;

  const ModelConfig& config_;
  const DType dtype_;
  const uint64_t seed_;
  // One table for each distribution, of which a model has about ten; tables stay where they are.
  mutable std::mutex mutex_;
  mutable std::map<std::pair<double, double>, std::vector<char>> tables_;
};

}  // namespace switchyard
