#include "runtime/sampling.h"

#include "kernels/base/mix_bits.h"

namespace switchyard {

float uniform_number(uint64_t seed, const RequestId& id, int64_t index, int64_t token) {
  const auto [first, second] = hash_of(id);
  uint64_t bits = mix_bits(seed);
  for (const uint64_t part :
       {first, second, static_cast<uint64_t>(index), static_cast<uint64_t>(token)}) {
    bits = mix_bits(bits ^ part);
  }
  // The bits of an fp32's mantissa: each value is exact, none is 1.
  return static_cast<float>(bits >> 40) * 0x1p-24f;
}

SampleSettings sample_settings(const SamplingOptions& options, const RequestId& id, int64_t index,
                               int64_t token) {
  SampleSettings settings;
  settings.temperature = options.temperature;
  if (options.temperature == 0.0f) return settings;
  settings.top_k = options.top_k;
  settings.top_p = options.top_p;
  settings.uniform = uniform_number(options.seed, id, index, token);
  return settings;
}

}  // namespace switchyard
