#include "runtime/batch_choice.h"

#include <algorithm>
#include <cmath>

#include "kernels/base/byte_size.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/base/text_table.h"
#include "runtime/expert_cache.h"

namespace switchyard {
namespace {

/// Steps of any size work; round ones read better.
constexpr int64_t kRounding = 256;

}  // namespace

int64_t SweepCosts::balanced_tokens() const {
  constexpr double kMargin = 1.1;
  const double tokens = kMargin * load_seconds() * operation_rate / operations_a_token;
  constexpr double kMost = 1e9;  // beyond any memory
  const auto whole = static_cast<int64_t>(std::min(std::ceil(tokens), kMost));
  return (whole + kRounding - 1) / kRounding * kRounding;
}

TokenChoice choose_tokens(const SweepCosts& costs, const TokenLimits& limits) {
  const int64_t balanced = costs.balanced_tokens();
  const std::string sweep =
      concat("a sweep over the layers loads ", format_byte_size(costs.load_bytes), " a rank in ",
             format_fixed(costs.load_seconds(), 1), " s at ",
             format_fixed(costs.load_rate / 1e9, 2), " GB/s");
  TokenChoice choice;
  choice.tokens =
      std::max(kDefaultBatchTokens, std::min({balanced, limits.fit_in_memory, limits.in_input}));
  if (balanced <= choice.tokens) {
    choice.reason = concat(sweep, ", in which ", balanced, " tokens compute");
  } else {
    const bool is_input = limits.in_input <= limits.fit_in_memory;
    choice.reason = concat(sweep, "; ", balanced, " tokens would hide that, but ",
                           is_input ? "the input has no more" : "the memory holds no more");
  }
  return choice;
}

bool multiplies_rows(const ModelConfig& config, const ExpectedTensor& tensor) {
  if (tensor.shape.size() != 2 || tensor.form == TensorForm::kVector) return false;
  const bool is_lookup = tensor.name == config.names.embedding + ".weight" &&
                         config.names.output != config.names.embedding;
  return !is_lookup;
}

double operations_per_token(const ModelConfig& config) {
  double operations = 0.0;
  visit_expected_tensors(config, [&](const ExpectedTensor& tensor) {
    if (!multiplies_rows(config, tensor)) return;
    const double elements =
        static_cast<double>(tensor.shape[0]) * static_cast<double>(tensor.shape[1]);
    const double share = tensor.owner == TensorOwner::kExpert
                             ? static_cast<double>(config.router.top_k) /
                                   static_cast<double>(config.router.num_experts)
                             : 1.0;
    operations += 2.0 * elements * share;
  });
  return operations;
}

double measure_operation_rate(Backend& backend, Stream& compute) {
  constexpr int64_t kRows = 256;
  constexpr int64_t kWidth = 1024;
  constexpr int kRepeats = 4;
  const WeightSpec spec{DType::kF32, kWidth, kWidth};
  const DeviceBuffer packed = backend.allocate(backend.packed_bytes(spec));
  const Tensor in = backend.allocate_tensor(DType::kF32, {kRows, kWidth});
  const Tensor out = backend.allocate_tensor(DType::kF32, {kRows, kWidth});
  const std::vector<float> ones(kWidth * kWidth, 1.0f);
  backend.copy_to_device(compute, ones.data(), in.view());
  backend.pack_weight(compute, ones.data(), 0, kWidth, {spec, packed.data()});
  backend.record(compute).synchronize();
  double best = 1e300;
  for (int i = 0; i < kRepeats; ++i) {
    const double begin = steady_seconds();
    backend.matmul(compute,
                   {in.view(), {spec, packed.data()}, {}, Activation::kNone, {}, out.view()});
    backend.record(compute).synchronize();
    best = std::min(best, steady_seconds() - begin);
  }
  return 2.0 * static_cast<double>(kRows * kWidth * kWidth) / best;
}

double measure_load_rate(const Checkpoint& checkpoint, const std::vector<ExpertLayer>& layers,
                         int64_t load_threads, TensorSources& sources, Backend& backend,
                         Stream& compute) {
  constexpr double kSeconds = 0.25;
  constexpr int64_t kBatchBytes = int64_t{32} << 20;
  TierOptions options;
  options.load_threads = load_threads;
  const int64_t slot_bytes = std::max<int64_t>(1, largest_slot_bytes(layers, backend));
  int64_t left = std::max<int64_t>(1, kBatchBytes / slot_bytes);
  std::vector<ExpertLayer> first(layers.size());
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    const auto count = static_cast<size_t>(std::min(left, layers[layer].num_local_experts()));
    first[layer].experts.assign(layers[layer].experts.begin(),
                                layers[layer].experts.begin() + static_cast<std::ptrdiff_t>(count));
    first[layer].ids.assign(layers[layer].ids.begin(),
                            layers[layer].ids.begin() + static_cast<std::ptrdiff_t>(count));
    left -= static_cast<int64_t>(count);
  }
  const CacheSizes sizes =
      plan_cache(first, options, resident_expert_bytes(first, backend), backend);
  double bytes = 0.0;
  double seconds = 0.0;
  for (int i = 0; i < 8 && seconds < kSeconds; ++i) {
    ExpertCache cache(
        {checkpoint, first, sizes, options, {}, sources, backend, compute, FileCaching::kDirect});
    const double begin = steady_seconds();
    cache.fill(nullptr);
    if (i == 0) continue;  // which touches memory for the first time and opens files
    seconds += steady_seconds() - begin;
    bytes += static_cast<double>(sizes.device_bytes);
  }
  return bytes / std::max(seconds, 1e-9);
}

}  // namespace switchyard
