// Rotary positions: their settings, and the frequencies that come of them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"

namespace switchyard {

/// How frequencies are changed for more positions than a model was trained on first
/// (transformers, modeling_rope_utils.py).
enum class RopeScaling : uint8_t {
  kNone,
  kLinear,    ///< divided by `factor`
  kDynamic,   ///< theta grows with the length of a sequence beyond `original_positions`
  kYarn,      ///< divided by `factor` where a dimension turns less than beta_slow times
  kLongRope,  ///< divided by one factor a dimension, other ones beyond `original_positions`
  kLlama3,    ///< divided by `factor` where wavelengths are long
};

struct RopeConfig {
  int64_t rotary_dim = 0;  // entries of a head that rotate; even
  RopeLayout layout = RopeLayout::kHalves;
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;
  int64_t original_positions = 0;
  double alpha = 0.0;  // kDynamic: theta's growth up to original_positions (Hunyuan); 0: none
  // kYarn
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  bool truncates = true;  // the ramp's ends to whole dimensions
  // kLlama3
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  // kLongRope, [rotary_dim / 2]
  std::vector<double> short_factors;
  std::vector<double> long_factors;
  /// What cos and sin are multiplied by; the second beyond `original_positions` (kLongRope).
  double scale = 1.0;
  double long_scale = 1.0;

  /// Whether frequencies go by the length of a sequence.
  bool depends_on_length() const {
    return scaling == RopeScaling::kDynamic || scaling == RopeScaling::kLongRope;
  }

  friend bool operator==(const RopeConfig&, const RopeConfig&) = default;
};

/// What one sequence rotates with.
struct RopeFrequencies {
  std::vector<float> frequencies;  // [rotary_dim / 2], radians a position
  float scale = 1.0f;              // of cos and sin

  bool operator==(const RopeFrequencies&) const = default;
};

/// The frequencies for a sequence that comes to have `length` positions.
RopeFrequencies rope_frequencies(const RopeConfig& config, int64_t length);

}  // namespace switchyard
