// route() against its documented rule, for every score, norm and grouping.
#include <algorithm>
#include <cmath>
#include <utility>

#include "tests/kernels/route_call.h"

namespace switchyard::testing {
namespace {

// Largest first, with places.
using Order = std::vector<std::pair<double, size_t>>;

// The scores of a row's experts in double precision.
std::vector<double> scores_of(GateScore score, const float* logits, int64_t count) {
  double total = 0.0;
  for (int64_t e = 0; e < count; ++e) total += std::exp(double{logits[e]});
  std::vector<double> scores;
  for (int64_t e = 0; e < count; ++e) {
    const double z = logits[e];
    scores.push_back(score == GateScore::kSoftmax   ? std::exp(z) / total
                     : score == GateScore::kSigmoid ? 1.0 / (1.0 + std::exp(-z))
                                                    : z);
  }
  return scores;
}

// Groups by descending score; `second` is a group's first expert.
Order groups_of(const RouterSettings& s, const std::vector<double>& c) {
  const size_t size = c.size() / static_cast<size_t>(s.num_groups);
  Order groups;
  for (size_t first = 0; first < c.size(); first += size) {
    std::vector<double> part(c.begin() + static_cast<int64_t>(first),
                             c.begin() + static_cast<int64_t>(first + size));
    std::sort(part.rbegin(), part.rend());
    const bool is_sum = s.group_score == GroupScore::kTopTwo && size > 1;
    groups.emplace_back(part[0] + (is_sum ? part[1] : 0.0), first);
  }
  std::sort(groups.rbegin(), groups.rend());
  return groups;
}

// The documented rule for one row without ties.
Routed rule(const RouteCall& call, int64_t row) {
  const RouterSettings& s = call.settings;
  const float* logits = call.logits.data() + row * s.num_experts;
  const std::vector<double> scores = scores_of(s.score, logits, s.num_experts);
  std::vector<double> c = scores;
  for (size_t e = 0; e < call.bias.size(); ++e) c[e] += call.bias[e];
  Order groups = groups_of(s, c);
  groups.resize(static_cast<size_t>(s.kept_groups));
  Order order;
  for (const auto& [score, first] : groups) {
    for (size_t e = first; e < first + c.size() / static_cast<size_t>(s.num_groups); ++e) {
      order.emplace_back(c[e], e);
    }
  }
  std::sort(order.rbegin(), order.rend());
  order.resize(static_cast<size_t>(s.top_k));
  double sum = 0.0;
  std::vector<double> weights;
  for (const auto& [score, e] : order) {
    weights.push_back(s.norm == GateNorm::kSoftmax ? std::exp(double{logits[e]}) : scores[e]);
    sum += weights.back();
  }
  if (s.norm == GateNorm::kNone) sum = 1.0;
  if (s.norm == GateNorm::kChosen) sum = std::max(sum + s.norm_add, double{s.norm_floor});
  Routed routed;
  for (size_t j = 0; j < order.size(); ++j) {
    routed.idx.push_back(static_cast<int32_t>(order[j].second));
    routed.weights.push_back(static_cast<float>(weights[j] / sum * call.scale));
  }
  return routed;
}

void expect_rule(const RouteCall& call) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  const Routed all = run(device, call);
  const int64_t k = call.settings.top_k;
  for (int64_t t = 0; t < static_cast<int64_t>(all.idx.size()) / k; ++t) {
    const Routed expected = rule(call, t);
    for (int64_t j = 0; j < k; ++j) {
      const auto at = static_cast<size_t>(t * k + j);
      ASSERT_EQ(all.idx[at], expected.idx[static_cast<size_t>(j)]) << "token " << t;
      const float w = expected.weights[static_cast<size_t>(j)];
      ASSERT_NEAR(all.weights[at], w, 4e-5f * std::max(std::fabs(w), 0.1f)) << "token " << t;
    }
  }
}

// Every norm and group score, with and without a bias, on these settings.
void expect_rule_for_all_norms(RouterSettings s, uint32_t seed) {
  s.norm_floor = 1e-3f;
  s.norm_add = 0.25f;
  for (const GateNorm norm : {GateNorm::kNone, GateNorm::kChosen, GateNorm::kSoftmax}) {
    for (const GroupScore group_score : {GroupScore::kLargest, GroupScore::kTopTwo}) {
      s.norm = norm;
      s.group_score = group_score;
      expect_rule({s, random_floats(12 * s.num_experts, ++seed, 3.0f), {}, 2.5f});
      expect_rule({s, random_floats(12 * s.num_experts, ++seed, 3.0f),
                   random_floats(s.num_experts, seed), 0.5f});
    }
  }
}

class RouteRuleTest : public ::testing::TestWithParam<GateScore> {};

TEST_P(RouteRuleTest, HoldsForEveryNormAndGrouping) {
  for (RouterSettings s : {RouterSettings{60, 4}, {130, 64}, {16, 1}}) {
    s.score = GetParam();
    expect_rule_for_all_norms(s, 1);
  }
  struct Grouping {
    int64_t experts, top_k, groups, kept;
  };
  for (const Grouping& g :
       {Grouping{256, 8, 8, 4}, {33, 20, 3, 2}, {8, 3, 8, 3}, {160, 6, 8, 3}, {20, 5, 4, 4}}) {
    RouterSettings s{g.experts, g.top_k};
    s.score = GetParam();
    s.num_groups = g.groups;
    s.kept_groups = g.kept;
    expect_rule_for_all_norms(s, 100);
  }
}

INSTANTIATE_TEST_SUITE_P(Scores, RouteRuleTest,
                         ::testing::Values(GateScore::kSoftmax, GateScore::kSigmoid,
                                           GateScore::kLogits));

}  // namespace
}  // namespace switchyard::testing
