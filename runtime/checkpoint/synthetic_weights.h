// Random weights with which a model behaves like a trained one: nothing explodes or vanishes, and
// tokens spread over the experts.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>
#include <vector>

#include "kernels/base/dtype.h"
#include "runtime/model_config.h"

namespace switchyard {

struct WeightDistribution {
  double mean = 0.0;
  double standard_deviation = 1.0;
};

/// How the elements of a tensor are written.
enum class ElementForm : uint8_t {
  kF32,
  kF16,
  kBF16,
  kE4m3,        ///< a byte: the E4M3 number nearest to the element
  kMxfp4Codes,  ///< a byte: two elements' nearest four-bit codes of MXFP4, the first in the low
                ///< bits
  /// A byte e that stands for 2^(e - 127): of the two powers around the deviation, each as often as
  /// makes the mean square that of the deviation.
  kE8m0,
};

/// The form of elements of fp32, fp16 or bf16.
ElementForm form_of(DType dtype);
/// Bytes of one element of a file: of kMxfp4Codes two elements of the matrix.
int64_t size_of(ElementForm form);

/// What deviations the codes of quantised matrices have, so that the largest elements come to the
/// end of the codes' range; scales are the matrix' deviation divided by it.
inline constexpr double kE4m3Deviation = 106.0;
inline constexpr double kMxfp4Deviation = 1.44;

/// What one tensor is filled with.
struct SyntheticTensor {
  std::string name;  // stands for its own sequence of numbers
  WeightDistribution distribution;
  ElementForm form = ElementForm::kF32;
};

/// The normal distribution of a tensor's elements: 1 / sqrt(inputs) for linear maps, less for those
/// that add to the residual stream, about 1 for the gains of norms. `name` and `shape` as in
/// expected_tensors().
WeightDistribution weight_distribution(const ModelConfig& config, const std::string& name,
                                       const std::vector<int64_t>& shape);

/// A model's tensor as weight_distribution() has it, under its own name.
SyntheticTensor synthetic_tensor(const ModelConfig& config, const std::string& name,
                                 const std::vector<int64_t>& shape, DType dtype);

/// Gives elements of tensors. Element i of tensor NAME is a function of (seed, NAME, i) and its
/// distribution and form alone, with the same bits on every machine: one of 65,536 quantiles (of
/// 256 for MXFP4), rounded to the form.
class SyntheticWeights {
 public:
  explicit SyntheticWeights(uint64_t seed);

  /// Writes elements [first, first + count) of the tensor in row-major order into `to`, which
  /// receives count * size_of(form) bytes and is aligned to that size. Any thread.
  void fill(const SyntheticTensor& tensor, int64_t first, int64_t count, void* to) const;

 private:
  using TableKey = std::tuple<double, double, ElementForm>;
  const std::vector<char>& table(const SyntheticTensor& tensor) const;

  const uint64_t seed_;
  // One table for each distribution, of which a model has about ten; tables stay where they are.
  mutable std::mutex mutex_;
  mutable std::map<TableKey, std::vector<char>> tables_;
};

}  // namespace switchyard
