// Calls of route() for its tests.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {

/// What a test gives to route(); as many tokens as there are rows of logits.
struct RouteCall {
  RouterSettings settings;
  std::vector<float> logits;
  std::vector<float> bias = {};
  float scale = 1.0f;
};

struct Routed {
  std::vector<int32_t> idx;
  std::vector<float> weights;
};

/// Runs the call on one device.
inline Routed run(TestDevice& device, const RouteCall& call) {
  const RouterSettings& s = call.settings;
  const int64_t tokens = static_cast<int64_t>(call.logits.size()) / s.num_experts;
  const Tensor logits = device.put(call.logits, {tokens, s.num_experts});
  const Tensor bias = device.put(call.bias, {static_cast<int64_t>(call.bias.size())});
  const Tensor idx = device.make(DType::kI32, {tokens, s.top_k});
  const Tensor weights = device.make({tokens, s.top_k});
  RouteArgs args{logits.view(), s, idx.view(), weights.view()};
  if (!call.bias.empty()) args.selection_bias = bias.view();
  args.scale = call.scale;
  device.backend().route(device.stream(), args);
  return {device.get<int32_t>(idx.view()), device.get(weights)};
}

/// Runs it on every variant; all must give the same bits.
inline Routed run_on_all_variants(const RouteCall& call) {
  Routed routed;
  same_on_all_variants([&](TestDevice& device) {
    routed = run(device, call);
    std::vector<float> all = routed.weights;
    for (const int32_t e : routed.idx) all.push_back(static_cast<float>(e));
    return all;
  });
  return routed;
}

/// DeepSeek-V3: groups by the sum of their two best, a floor of 1e-20 under the sum.
inline RouterSettings deepseek_v3(int64_t experts, int64_t top_k, int64_t groups, int64_t kept) {
  return {.num_experts = experts,
          .top_k = top_k,
          .norm = GateNorm::kChosen,
          .score = GateScore::kSigmoid,
          .num_groups = groups,
          .kept_groups = kept,
          .group_score = GroupScore::kTopTwo,
          .norm_floor = 0.0f,
          .norm_add = 1e-20f};
}

/// Phi-3.5-MoE: the sparse mixer.
inline RouterSettings phimoe(int64_t experts) {
  return {.num_experts = experts,
          .top_k = 2,
          .norm = GateNorm::kNone,
          .score = GateScore::kLogits,
          .selector = GateSelector::kSparseMixer,
          .jitter = 0.01f};
}

}  // namespace switchyard::testing
