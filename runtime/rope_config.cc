#include "runtime/rope_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace switchyard {
namespace {

/// The dimension whose frequency turns `turns` times over the original positions.
double yarn_dimension(const RopeConfig& config, double turns) {
  const auto dim = static_cast<double>(config.rotary_dim);
  const auto positions = static_cast<double>(config.original_positions);
  return dim * std::log(positions / (turns * 2.0 * std::numbers::pi)) /
         (2.0 * std::log(config.theta));
}

/// Blends f / factor (dimensions beyond the ramp) with f (before it).
void scale_yarn(const RopeConfig& config, std::vector<double>& frequencies) {
  double low = yarn_dimension(config, config.beta_fast);
  double high = yarn_dimension(config, config.beta_slow);
  if (config.truncates) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(config.rotary_dim - 1));
  if (low == high) high += 0.001;  // as the reference: no division by zero
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    frequencies[i] = frequencies[i] / config.factor * ramp + frequencies[i] * (1.0 - ramp);
  }
}

void scale_llama3(const RopeConfig& config, std::vector<double>& frequencies) {
  const auto positions = static_cast<double>(config.original_positions);
  for (double& frequency : frequencies) {
    const double wavelength = 2.0 * std::numbers::pi / frequency;
    if (wavelength < positions / config.high_freq_factor) continue;
    const double scaled = frequency / config.factor;
    if (wavelength > positions / config.low_freq_factor) {
      frequency = scaled;
      continue;
    }
    const double smooth = (positions / wavelength - config.low_freq_factor) /
                          (config.high_freq_factor - config.low_freq_factor);
    frequency = (1.0 - smooth) * scaled + smooth * frequency;
  }
}

double theta_for(const RopeConfig& config, int64_t length) {
  if (config.scaling != RopeScaling::kDynamic) return config.theta;
  double growth = config.alpha > 0.0 ? config.alpha : 1.0;
  if (length > config.original_positions) {
    growth = config.factor * static_cast<double>(length) /
                 static_cast<double>(config.original_positions) -
             (config.factor - 1.0);
  }
  if (growth == 1.0) return config.theta;
  const auto dim = static_cast<double>(config.rotary_dim);
  return config.theta * std::pow(growth, dim / (dim - 2.0));
}

}  // namespace

RopeFrequencies rope_frequencies(const RopeConfig& config, int64_t length) {
  const bool is_long =
      config.scaling == RopeScaling::kLongRope && length > config.original_positions;
  const double theta = theta_for(config, length);
  std::vector<double> frequencies(static_cast<size_t>(config.rotary_dim / 2));
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(config.rotary_dim);
    frequencies[i] = 1.0 / std::pow(theta, exponent);
    if (config.scaling == RopeScaling::kLinear) frequencies[i] /= config.factor;
    if (config.scaling == RopeScaling::kLongRope) {
      frequencies[i] /= (is_long ? config.long_factors : config.short_factors)[i];
    }
  }
  if (config.scaling == RopeScaling::kYarn) scale_yarn(config, frequencies);
  if (config.scaling == RopeScaling::kLlama3) scale_llama3(config, frequencies);
  return {{frequencies.begin(), frequencies.end()},
          static_cast<float>(is_long ? config.long_scale : config.scale)};
}

}  // namespace switchyard
