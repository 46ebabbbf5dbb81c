// route() with the settings of published models.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "tests/kernels/route_call.h"

namespace switchyard::testing {
namespace {

void expect_near(const Routed& routed, const Routed& expected) {
  EXPECT_EQ(routed.idx, expected.idx);
  ASSERT_EQ(routed.weights.size(), expected.weights.size());
  for (size_t i = 0; i < expected.weights.size(); ++i) {
    EXPECT_NEAR(routed.weights[i], expected.weights[i], 2e-6f * std::fabs(expected.weights[i]));
  }
}

// Expected numbers of the next tests: the modules of transformers 4.56.2 with torch 2.5.1.

TEST(RouteFamilies, MatchesDeepseekV3) {
  RouteCall call{
      deepseek_v3(12, 3, 4, 2),
      {-1.53f, -0.75f, -0.65f, -1.61f, -0.1f, -0.61f, -0.98f, -1.61f, 0.44f,  1.17f, 1.77f,  -0.1f,
       0.14f,  -1.58f, -0.32f, -0.3f,  -0.8f, 0.34f,  0.28f,  1.72f,  -0.06f, 0.91f, -1.39f, 2.69f},
      {0.2f, 0.33f, -0.31f, -0.06f, -0.26f, 0.44f, -0.13f, -0.04f, -0.35f, 0.02f, 0.11f, 0.09f},
      2.5f};
  expect_near(run_on_all_variants(call),
              {{10, 9, 1, 11, 5, 9},
               {1.10200047f, 0.984233856f, 0.413765639f, 1.04811025f, 0.653859377f, 0.798030496f}});
}

TEST(RouteFamilies, MatchesDeepseekV2) {
  RouteCall call{
      {.num_experts = 12,
       .top_k = 3,
       .norm = GateNorm::kNone,
       .num_groups = 4,
       .kept_groups = 2,
       .group_score = GroupScore::kLargest},
      {-0.11f, 0.54f, -1.17f, 0.11f,  1.0f,  -0.43f, 2.43f, -2.4f, 0.61f, 0.92f, 1.14f, -0.05f,
       -0.52f, 0.74f, -0.12f, -2.71f, 0.73f, 0.31f,  0.51f, 2.03f, 0.56f, 0.02f, 1.16f, -0.16f},
      {},
      16.0f};
  expect_near(run_on_all_variants(call),
              {{6, 10, 9, 7, 10, 8},
               {6.66097832f, 1.83357251f, 1.47147655f, 5.25681591f, 2.20235109f, 1.20867598f}});
}

TEST(RouteFamilies, MatchesPhimoe) {
  RouteCall call{phimoe(5), {1.0f,  1.01f,  0.999f, -3.0f, 0.5f,   -1.0f,  -1.01f, -1.03f,  -5.0f,
                             -1.5f, 0.0f,   0.0f,   0.0f,  0.0f,   0.0f,   0.0f,   -0.001f, -2.0f,
                             0.0f,  0.0f,   3.0f,   2.97f, 2.95f,  2.95f,  2.9f,   2.0f,    -2.0f,
                             1.99f, -1.99f, 0.3f,   10.0f, -10.0f, 1.001f, 1.0f,   0.99f}};
  expect_near(run_on_all_variants(call),
              {{1, 0, 0, 1, 0, 1, 0, 3, 0, 1, 0, 2, 0, 2},
               {0.33567068f, 0.500249982f, 0.502499998f, 0.504999876f, 0.2f, 0.25f, 0.333333343f,
                0.5f, 0.258204132f, 0.337792516f, 0.502499998f, 1.0f, 1.0f, 0.334665209f}});
}

TEST(RouteFamilies, SameBitsOnAllVariantsAndAlone) {
  std::vector<RouteCall> calls = {
      {deepseek_v3(256, 8, 8, 4), random_floats(30 * 256, 1, 4.0f), random_floats(256, 2), 2.5f},
      {phimoe(17), random_floats(30 * 17, 3, 0.05f)},
      {{.num_experts = 32, .top_k = 4, .norm = GateNorm::kSoftmax, .score = GateScore::kLogits},
       random_floats(30 * 32, 4, 4.0f)}};
  for (const RouteCall& call : calls) {
    const Routed together = run_on_all_variants(call);
    TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
    const int64_t k = call.settings.top_k;
    for (int64_t t = 0; t < 30; ++t) {
      RouteCall one = call;
      const auto first = call.logits.begin() + t * call.settings.num_experts;
      one.logits = {first, first + call.settings.num_experts};
      const Routed alone = run(device, one);
      EXPECT_TRUE(std::equal(alone.idx.begin(), alone.idx.end(), together.idx.begin() + t * k));
      expect_same_bits({together.weights.begin() + t * k, together.weights.begin() + (t + 1) * k},
                       alone.weights, "token");
    }
  }
}

TEST(RouteFamilies, MaskedGroupsAreNeverChosen) {
  // All scores that decide are negative, and the kept group holds the most negative one: a mask of
  // 0 would win against it.
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const RouteCall call{deepseek_v3(6, 2, 3, 1),
                       std::vector<float>(6, 0.0f),
                       {-2.0f, -2.0f, -0.6f, -9.0f, -1.0f, -9.0f}};
  EXPECT_EQ(run(device, call).idx, (std::vector<int32_t>{0, 1}));
  // Also where the experts of the kept group are at -infinity.
  const float infinity = std::numeric_limits<float>::infinity();
  const RouterSettings largest{.num_experts = 4, .top_k = 2, .num_groups = 2, .kept_groups = 1};
  EXPECT_EQ(run(device, {largest, {1.0f, 2.0f, 3.0f, -infinity}}).idx,
            (std::vector<int32_t>{2, 3}));
}

TEST(RouteFamilies, TiesGoToTheLowerIndex) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const RouteCall equal{deepseek_v3(8, 4, 4, 2), std::vector<float>(8, 0.5f),
                        std::vector<float>(8)};
  EXPECT_EQ(run(device, equal).idx, (std::vector<int32_t>{0, 1, 2, 3}));
  // Both sigmoids round to 1; the larger logit comes first even so.
  const RouterSettings sigmoid{.num_experts = 3, .top_k = 2, .score = GateScore::kSigmoid};
  EXPECT_EQ(run(device, {sigmoid, {0.0f, 30.0f, 31.0f}}).idx, (std::vector<int32_t>{2, 1}));
}

TEST(RouteFamilies, ManyExpertsAndChoices) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const int64_t experts = 65536;
  std::vector<float> logits(static_cast<size_t>(experts));
  for (int64_t e = 0; e < experts; ++e) {
    logits[static_cast<size_t>(e)] = static_cast<float>(e * 40503 % experts) * 1e-3f;
  }
  const Routed routed = run(device, {{.num_experts = experts, .top_k = 64}, logits});
  std::vector<int32_t> order(static_cast<size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
  });
  order.resize(64);
  EXPECT_EQ(routed.idx, order);
}

TEST(RouteFamilies, NanStaysVisibleAndIndicesValid) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  RouterSettings grouped = deepseek_v3(8, 3, 4, 2);
  RouterSettings chosen_softmax = grouped;
  chosen_softmax.norm = GateNorm::kSoftmax;
  RouterSettings largest = grouped;
  largest.group_score = GroupScore::kLargest;
  for (const RouterSettings& s : {grouped, chosen_softmax, largest, phimoe(8)}) {
    for (const BackendOptions& options : all_variants()) {
      TestDevice device(options);
      for (size_t place = 0; place <= 8; ++place) {
        std::vector<float> logits = {1.0f, 8.0f, 3.0f, 4.0f, 5.0f, 2.0f, 7.0f, 6.0f};
        if (place < 8) logits[place] = nan;
        if (place == 8) logits.assign(8, nan);
        const Routed routed = run(device, {s, logits});
        for (const float w : routed.weights) EXPECT_TRUE(std::isnan(w));
        const std::set<int32_t> distinct(routed.idx.begin(), routed.idx.end());
        EXPECT_EQ(distinct.size(), routed.idx.size());
        EXPECT_TRUE(*distinct.begin() >= 0 && *distinct.rbegin() < 8);
      }
    }
  }
}

TEST(RouteFamilies, RefusesSettingsThatCannotWork) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const auto refuses = [&](const RouteCall& call, const std::string& part) {
    expect_error([&] { run(device, call); }, ErrorKind::kInternal, part);
  };
  const std::vector<float> logits(12);
  refuses({{.num_experts = 12, .top_k = 13}, logits}, "route: top_k is not in 1 .. num_experts");
  refuses({{.num_experts = 12, .num_groups = 5}, logits},
          "route: num_groups does not divide num_experts");
  refuses({{.num_experts = 12, .num_groups = 0}, logits}, "route: num_groups");
  refuses({{.num_experts = 12, .num_groups = 4, .kept_groups = 5}, logits},
          "route: kept_groups is not in 1 .. num_groups");
  refuses({{.num_experts = 12, .top_k = 4, .num_groups = 4, .kept_groups = 1}, logits},
          "route: kept_groups hold fewer experts than top_k");
  refuses({phimoe(12), logits, std::vector<float>(12)}, "route: selector is the sparse mixer");
  RouterSettings mixer = phimoe(12);
  mixer.score = GateScore::kSoftmax;
  refuses({mixer, logits}, "route: selector is the sparse mixer");
  refuses({deepseek_v3(12, 3, 4, 2), logits, std::vector<float>(11)},
          "route: selection_bias is fp32 [11], expected fp32 [12]");
}

}  // namespace
}  // namespace switchyard::testing
