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

/// The number of the element of `values`, ascending, that is nearest to `value`; the even one of
/// two that are as near.
template <typename Values>
size_t nearest(const Values& values, double value) {
  size_t best = 0;
  for (size_t i = 1; i < values.size(); ++i) {
    const double old = std::abs(static_cast<double>(values[best]) - value);
    const double now = std::abs(static_cast<double>(values[i]) - value);
    if (now < old || (now == old && i % 2 == 0)) best = i;
    if (now > old) break;
  }
  return best;
}

/// The code of a number: `magnitudes` of the codes without a sign, `sign` the bit for one.
template <typename Values>
char nearest_code(const Values& magnitudes, size_t sign, double value) {
  const size_t code = nearest(magnitudes, std::abs(value));
  return static_cast<char>(value < 0.0 ? code | sign : code);
}

std::vector<char> e4m3_table(const WeightDistribution& distribution) {
  std::array<float, 127> magnitudes{};  // without the NaN
  for (size_t code = 0; code < magnitudes.size(); ++code) {
    magnitudes[code] = e4m3_to_f32(static_cast<uint8_t>(code));
  }
  std::vector<char> table;
  for (const double quantile : normal_quantiles()) {
    table.push_back(nearest_code(magnitudes, 0x80,
                                 distribution.mean + distribution.standard_deviation * quantile));
  }
  return table;
}

/// By two bytes of a hash, each of which chooses a quantile.
std::vector<char> mxfp4_table(const WeightDistribution& distribution) {
  constexpr std::array<float, 8> kMagnitudes = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  constexpr size_t kCodes = 256;
  std::array<unsigned, kCodes> codes{};
  for (size_t i = 0; i < kCodes; ++i) {
    const double quantile = normal_quantiles()[i * (kNumQuantiles / kCodes) + 128];
    const double value = distribution.mean + distribution.standard_deviation * quantile;
    codes[i] = static_cast<unsigned>(nearest_code(kMagnitudes, 8, value));
  }
  std::vector<char> table;
  for (size_t pair = 0; pair < static_cast<size_t>(kNumQuantiles); ++pair) {
    table.push_back(static_cast<char>(codes[pair % kCodes] | codes[pair / kCodes] << 4));
  }
  return table;
}

std::vector<char> e8m0_table(const WeightDistribution& distribution) {
  constexpr int kBias = 127;
  int exponent = 0;
  // In [1, 2) times 2^(exponent - 1): frexp is exact.
  const double fraction = 2.0 * std::frexp(distribution.standard_deviation, &exponent);
  // A share p of twice the scale: (1 - p) + 4 p is the square of the fraction.
  const double share = (fraction * fraction - 1.0) / 3.0;
  const auto num_large = static_cast<size_t>(share * static_cast<double>(kNumQuantiles));
  const int low = std::clamp(exponent - 1 + kBias, 0, 253);
  std::vector<char> table(static_cast<size_t>(kNumQuantiles), static_cast<char>(low));
  std::fill_n(table.begin(), num_large, static_cast<char>(low + 1));
  return table;
}

std::vector<char> plain_table(const WeightDistribution& distribution, DType dtype) {
  std::vector<float> values;
  for (const double quantile : normal_quantiles()) {
    values.push_back(
        static_cast<float>(distribution.mean + distribution.standard_deviation * quantile));
  }
  std::vector<char> table(static_cast<size_t>(kNumQuantiles * size_of(dtype)));
  convert_elements(DType::kF32, values.data(), dtype, table.data(), kNumQuantiles);
  return table;
}

std::vector<char> make_table(const WeightDistribution& distribution, ElementForm form) {
  switch (form) {
    case ElementForm::kF32:
      return plain_table(distribution, DType::kF32);
    case ElementForm::kF16:
      return plain_table(distribution, DType::kF16);
    case ElementForm::kBF16:
      return plain_table(distribution, DType::kBF16);
    case ElementForm::kE4m3:
      return e4m3_table(distribution);
    case ElementForm::kMxfp4Codes:
      return mxfp4_table(distribution);
    case ElementForm::kE8m0:
      return e8m0_table(distribution);
  }
  return {};
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
  // An embedding has one input that is 1 and comes to be about 1 once it is scaled; as the output
  // matrix it has as many inputs as the model is wide.
  const double deviation = 1.0 / std::sqrt(static_cast<double>(shape[1]));
  if (stem == names.embedding && names.output != names.embedding) {
    return {0.0, 1.0 / static_cast<double>(config.embedding_scale)};
  }
  for (const std::string& output :
       {names.attention_output, names.ffn_down, names.expert_down, names.shared_down}) {
    // Every layer adds twice; the sum of all shall be no larger than what they add to.
    if (is_made_from(output, stem)) {
      return {0.0, deviation / std::sqrt(2.0 * config.num_layers())};
    }
  }
  return {0.0, deviation};
}

ElementForm form_of(DType dtype) {
  SWITCHYARD_CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16);
  if (dtype == DType::kF32) return ElementForm::kF32;
  return dtype == DType::kF16 ? ElementForm::kF16 : ElementForm::kBF16;
}

int64_t size_of(ElementForm form) {
  if (form == ElementForm::kF32) return 4;
  return form == ElementForm::kF16 || form == ElementForm::kBF16 ? 2 : 1;
}

SyntheticTensor synthetic_tensor(const ModelConfig& config, const std::string& name,
                                 const std::vector<int64_t>& shape, DType dtype) {
  return {name, weight_distribution(config, name, shape), form_of(dtype)};
}

SyntheticWeights::SyntheticWeights(uint64_t seed) : seed_(mix_bits(seed)) {}

const std::vector<char>& SyntheticWeights::table(const SyntheticTensor& tensor) const {
  const auto& [mean, deviation] = tensor.distribution;
  const std::lock_guard lock(mutex_);
  std::vector<char>& table = tables_[{mean, deviation, tensor.form}];
  if (table.empty()) table = make_table(tensor.distribution, tensor.form);
  return table;
}

void SyntheticWeights::fill(const SyntheticTensor& tensor, int64_t first, int64_t count,
                            void* to) const {
  const char* table = this->table(tensor).data();
  const uint64_t key = mix_bits(hash_name(tensor.name) ^ seed_);
  switch (size_of(tensor.form)) {
    case 1:
      return pick(table, key, first, count, static_cast<char*>(to));
    case 2:
      return pick(reinterpret_cast<const uint16_t*>(table), key, first, count,
                  static_cast<uint16_t*>(to));
    default:
      return pick(reinterpret_cast<const uint32_t*>(table), key, first, count,
                  static_cast<uint32_t*>(to));
  }
}

}  // namespace switchyard
