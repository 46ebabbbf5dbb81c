#include <cmath>
#include <limits>
#include <set>

#include "tests/kernels/route_call.h"

namespace switchyard::testing {
namespace {

Routed run(TestDevice& device, const std::vector<float>& logits, const RouterSettings& settings) {
  return run(device, {settings, logits});
}

// The documented rule in double precision, by repeated arg max.
void expect_rule(const float* logits, RouterSettings settings, const int32_t* idx,
                 const float* weights) {
  const auto experts = static_cast<size_t>(settings.num_experts);
  double total = 0;
  for (size_t e = 0; e < experts; ++e) total += std::exp(static_cast<double>(logits[e]));
  std::vector<bool> taken(experts, false);
  double chosen = 0;
  std::vector<double> p;
  for (int64_t j = 0; j < settings.top_k; ++j) {
    size_t best = experts;
    for (size_t e = 0; e < experts; ++e) {
      if (!taken[e] && (best == experts || logits[e] > logits[best])) best = e;
    }
    taken[best] = true;
    EXPECT_EQ(idx[j], static_cast<int32_t>(best));
    p.push_back(std::exp(static_cast<double>(logits[best])) / total);
    chosen += p.back();
  }
  for (size_t j = 0; j < p.size(); ++j) EXPECT_NEAR(weights[j], p[j] / chosen, 1e-6);
}

TEST(Route, MatchesTheRuleOnAllVariants) {
  for (const RouterSettings s :
       {RouterSettings{1, 1}, {2, 2}, {4, 1}, {16, 2}, {17, 3}, {100, 64}, {512, 2}}) {
    const int64_t tokens = 70;
    std::vector<float> logits = random_floats(tokens * s.num_experts, 1, 4.0f);
    // Coarse numbers make ties common.
    for (size_t i = 0; i < logits.size() / 2; ++i) logits[i] = std::floor(logits[i]);
    Routed routed;
    same_on_all_variants([&](TestDevice& device) {
      routed = run(device, logits, s);
      std::vector<float> all = routed.weights;
      for (const int32_t e : routed.idx) all.push_back(static_cast<float>(e));
      return all;
    });
    for (int64_t t = 0; t < tokens; ++t) {
      expect_rule(logits.data() + t * s.num_experts, s, routed.idx.data() + t * s.top_k,
                  routed.weights.data() + t * s.top_k);
    }
  }
}

TEST(Route, WithoutNormalisationWeightsAreProbabilities) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Routed routed = run(device, {0.0f, std::log(3.0f)}, {2, 1, GateNorm::kNone});
  EXPECT_EQ(routed.idx, std::vector<int32_t>{1});
  EXPECT_NEAR(routed.weights[0], 0.75f, 1e-6f);
}

TEST(Route, TokensDoNotDependOnEachOther) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  const RouterSettings settings{37, 3};
  const std::vector<float> logits = random_floats(50 * 37, 9, 5.0f);
  const Routed together = run(device, logits, settings);
  for (int64_t t = 0; t < 50; ++t) {
    const Routed one =
        run(device, {logits.begin() + t * 37, logits.begin() + (t + 1) * 37}, settings);
    expect_same_bits({together.weights.begin() + t * 3, together.weights.begin() + t * 3 + 3},
                     one.weights, "token");
  }
}

TEST(Route, OneExpertGetsWeightOne) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Routed routed = run(device, {-3.0f, 2.5f, 2.5f, 1.0f}, {4, 1});
  EXPECT_EQ(routed.idx, std::vector<int32_t>{1});
  EXPECT_EQ(routed.weights, std::vector<float>{1.0f});
}

TEST(Route, NanAndInfinityStayVisibleAndIndicesValid) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    for (const float bad : {nan, infinity}) {
      for (size_t place = 0; place < 5; ++place) {
        std::vector<float> logits = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
        logits[place] = bad;
        const Routed routed = run(device, logits, {5, 2});
        EXPECT_TRUE(std::isnan(routed.weights[0]) && std::isnan(routed.weights[1]));
        const std::set<int32_t> distinct(routed.idx.begin(), routed.idx.end());
        EXPECT_EQ(distinct.size(), 2u);
        EXPECT_TRUE(*distinct.begin() >= 0 && *distinct.rbegin() < 5);
      }
    }
    const Routed all_nan = run(device, {nan, nan, nan}, {3, 3});
    EXPECT_EQ(std::set<int32_t>(all_nan.idx.begin(), all_nan.idx.end()).size(), 3u);
    const Routed masked = run(device, {-infinity, 2.0f, -infinity}, {3, 2});
    EXPECT_EQ(masked.idx, (std::vector<int32_t>{1, 0}));
    EXPECT_EQ(masked.weights, (std::vector<float>{1.0f, 0.0f}));
  }
}

// Which experts a list chooses among NaN follows from the order of offers alone.
TEST(Route, NanAndInfinityChooseTheSameExpertsOnAllVariants) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const GateScore score : {GateScore::kSoftmax, GateScore::kSigmoid}) {
    for (const int64_t num_groups : {1, 4}) {
      RouterSettings settings{24, 5};
      settings.score = score;
      settings.num_groups = num_groups;
      settings.kept_groups = num_groups == 1 ? 1 : 2;
      settings.group_score = GroupScore::kTopTwo;
      std::vector<float> logits = random_floats(24 * 24, 11, 4.0f);
      for (size_t row = 0; row < 24; ++row) {
        const float bad[] = {nan, infinity, -infinity};
        for (size_t i = 0; i <= row; i += 2) logits[row * 24 + (i * 7) % 24] = bad[row % 3];
      }
      same_on_all_variants([&](TestDevice& device) {
        const Routed routed = run(device, logits, settings);
        std::vector<float> all(routed.idx.begin(), routed.idx.end());
        for (const float weight : routed.weights) all.push_back(std::isnan(weight) ? -1 : weight);
        return all;
      });
    }
  }
}

}  // namespace
}  // namespace switchyard::testing
