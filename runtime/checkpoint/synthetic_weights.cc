#include "runtime/checkpoint/synthetic_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>

#include "kernels/base/error.h"
#include "kernels/base/exact_math.h"
#include "kernels/base/mix_bits.h"

namespace switchyard {
namespace {

/// 16 bits choose a quantile, so that one 64-bit hash gives four elements; the largest is 4.17
/// standard deviations from the mean.
constexpr int64_t kNumQuantiles = int64_t{1} << 16;
constexpr int64_t kElementsPerHash = 4;

constexpr double kBiasDeviation = 0.02;
constexpr double kGainDeviation = 0.05;
/// Learned positions beside embeddings that are about 1 after scaling.
constexpr double kPositionDeviation = 0.3;

/// The area under the normal density from 0 to x >= 0, divided by the density at x: the series
/// x + x^3 / 3 + x^5 / (3 * 5) + ..., all of whose terms are positive.
double normal_area_over_density(double x) {
  double term = x;
  double sum = x;
  for (int odd = 3; term > sum * 1e-17; odd += 2) {
    term *= x * x / odd;
    sum += term;
  }
  return sum;
}

double normal_density(double x) {
  constexpr double kOneOverSqrtTwoPi = 0x1.9884533d43651p-2;
  return kOneOverSqrtTwoPi * exp_double(-0.5 * x * x);
}

/// Quantiles of the standard normal distribution at (i + 1/2) / 65536. Without libm, whose results
/// differ between machines.
const std::vector<double>& normal_quantiles() {
  static const std::vector<double> kQuantiles = [] {
    std::vector<double> quantiles(kNumQuantiles);
    constexpr int64_t kHalf = kNumQuantiles / 2;
    constexpr double kStep = 1.0 / kNumQuantiles;
    double x = 0.0;
    for (int64_t i = 0; i < kHalf; ++i) {
      const double area = (static_cast<double>(i) + 0.5) * kStep;  // from 0 to the quantile
      // Newton's method from the last quantile; the steps between quantiles are short.
      for (int step = 0; step < 6; ++step) {
        x += area / normal_density(x) - normal_area_over_density(x);
      }
      quantiles[static_cast<size_t>(kHalf + i)] = x;
      quantiles[static_cast<size_t>(kHalf - 1 - i)] = -x;
    }
    return quantiles;
  }();
  return kQuantiles;
}

/// Is `name` made from this template of TensorNames? Numbers of layers and experts match anything.
bool is_made_from(const std::string& name_template, std::string_view name) {
  const size_t first = name_template.find('{');
  if (first == std::string::npos) return name == name_template;
  const std::string_view text = name_template;
  return name.starts_with(text.substr(0, first)) &&
         name.ends_with(text.substr(text.rfind('}') + 1));
}

/// A hash of the tensor's name: FNV-1a (Fowler, Noll and Vo), fixed for good.
uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char letter : name) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001B3u;
  }
  return hash;
}

/// Element i is table[16 bits of a hash of key and i].
template <typename Element>
void pick(const Element* table, uint64_t key, int64_t first, int64_t count, Element* to) {
  int64_t i = first;
  const int64_t end = first + count;
  const auto element = [&](int64_t at) {
    const uint64_t hash = mix_bits(key + static_cast<uint64_t>(at / kElementsPerHash));
    return table[(hash >> (16 * (at % kElementsPerHash))) & 0xFFFFu];
  };
  for (; i < end && i % kElementsPerHash != 0; ++i) *to++ = element(i);
  for (; i + kElementsPerHash <= end; i += kElementsPerHash) {
    const uint64_t hash = mix_bits(key + static_cast<uint64_t>(i / kElementsPerHash));
    const std::array<Element, kElementsPerHash> four = {
        table[hash & 0xFFFFu], table[(hash >> 16) & 0xFFFFu], table[(hash >> 32) & 0xFFFFu],
        table[hash >> 48]};
    std::memcpy(to, four.data(), sizeof four);
    to += kElementsPerHash;
  }
  for (; i < end; ++i) *to++ = element(i);
}

}  // namespace

WeightDistribution weight_distribution(const ModelConfig& config, const std::string& name,
                                       const std::vector<int64_t>& shape) {
  constexpr std::string_view kWeight = ".weight";
  if (!name.ends_with(kWeight)) return {0.0, kBiasDeviation};
  if (shape.size() != 2) return {1.0, kGainDeviation};
  const std::string_view stem = std::string_view(name).substr(0, name.size() - kWeight.size());
  const TensorNames& names = config.names;
  if (stem == names.positions) return {0.0, kPositionDeviation};
  // An embedding has one input that is 1; as the output matrix it has as many as the model is wide,
  // which is also what makes it about 1 once it is scaled.
  const double deviation = 1.0 / std::sqrt(static_cast<double>(shape[1]));
  for (const std::string& output : {names.attention_output, names.ffn_down, names.expert_down}) {
    // Every layer adds twice; the sum of all shall be no larger than what they add to.
    if (is_made_from(output, stem)) {
      return {0.0, deviation / std::sqrt(2.0 * config.num_layers())};
    }
  }
  return {0.0, deviation};
}

SyntheticWeights::SyntheticWeights(const ModelConfig& config, DType dtype, uint64_t seed)
    : config_(config), dtype_(dtype), seed_(mix_bits(seed)) {
  SWITCHYARD_CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16);
}

const std::vector<char>& SyntheticWeights::quantiles(const WeightDistribution& distribution) const {
  const std::lock_guard lock(mutex_);
  std::vector<char>& table = tables_[{distribution.mean, distribution.standard_deviation}];
  if (table.empty()) {
    std::vector<float> values;
    for (const double quantile : normal_quantiles()) {
      values.push_back(
          static_cast<float>(distribution.mean + distribution.standard_deviation * quantile));
    }
    table.resize(static_cast<size_t>(kNumQuantiles * size_of(dtype_)));
    convert_elements(DType::kF32, values.data(), dtype_, table.data(), kNumQuantiles);
  }
  return table;
}

void SyntheticWeights::fill(const std::string& name, const std::vector<int64_t>& shape,
                            int64_t first, int64_t count, void* to) const {
  const std::vector<char>& table = quantiles(weight_distribution(config_, name, shape));
  const uint64_t key = mix_bits(hash_name(name) ^ seed_);
  if (size_of(dtype_) == 2) {
    pick(reinterpret_cast<const uint16_t*>(table.data()), key, first, count,
         static_cast<uint16_t*>(to));
  } else {
    pick(reinterpret_cast<const uint32_t*>(table.data()), key, first, count,
         static_cast<uint32_t*>(to));
  }
}

}  // namespace switchyard
