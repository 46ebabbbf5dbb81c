#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

struct Call {
  std::vector<float> logits;  // [rows, vocabulary]
  std::vector<SampleSettings> rows;
  std::vector<int32_t> eos_ids = {};
  std::vector<int32_t> banned_ids = {};
};

std::vector<int32_t> run(TestDevice& device, const Call& call) {
  const auto rows = static_cast<int64_t>(call.rows.size());
  const Tensor logits =
      device.put(call.logits, {rows, static_cast<int64_t>(call.logits.size()) / rows});
  const Tensor tokens = device.make(DType::kI32, {rows});
  device.backend().sample(device.stream(),
                          {logits.view(), call.rows, call.eos_ids, tokens.view(), call.banned_ids});
  return device.get<int32_t>(tokens.view());
}

std::vector<int32_t> run_on_all_variants(const Call& call) {
  std::vector<int32_t> tokens;
  same_on_all_variants([&](TestDevice& device) {
    tokens = run(device, call);
    return std::vector<float>(tokens.begin(), tokens.end());
  });
  return tokens;
}

TestDevice one_thread() { return TestDevice({BackendKind::kCpu, InstructionSet::kAuto, 1, 1}); }

// One row drawn with every uniform number of a grid: how often each token comes.
std::map<int32_t, double> frequencies(const std::vector<float>& logits, SampleSettings settings,
                                      const std::vector<int32_t>& eos_ids = {}) {
  constexpr int kDraws = 4000;
  TestDevice device = one_thread();
  Call call{{}, {}, eos_ids};
  for (int i = 0; i < kDraws; ++i) {
    settings.uniform = (static_cast<float>(i) + 0.5f) / kDraws;
    call.rows.push_back(settings);
    append(call.logits, logits);
  }
  std::map<int32_t, double> share;
  for (const int32_t token : run(device, call)) share[token] += 1.0 / kDraws;
  return share;
}

const std::vector<float> kLogits = {0.09f, 3.82f, -0.46f, 0.69f, 2.64f,  0.74f,
                                    0.77f, 0.59f, 1.49f,  2.17f, -1.54f, -0.59f};

// What temperature, top-k and top-p of transformers 4.56.2 (generation/logits_process.py) leave of
// kLogits: tokens and probabilities.
struct Expected {
  SampleSettings settings;
  std::map<int32_t, double> probabilities;
};

TEST(Sample, MatchesTransformersWarpers) {
  const Expected cases[] = {
      {{.temperature = 1.0f, .top_p = 0.9f},
       {{1, 0.591736}, {4, 0.181828}, {9, 0.113643}, {8, 0.057573}, {6, 0.028024}, {5, 0.027196}}},
      {{.temperature = 1.0f, .top_k = 5},
       {{1, 0.608279}, {4, 0.186911}, {9, 0.116820}, {8, 0.059183}, {6, 0.028807}}},
      {{.temperature = 0.7f, .top_k = 6, .top_p = 0.8f}, {{1, 0.843660}, {4, 0.156340}}},
      {{.temperature = 2.0f, .top_p = 0.5f}, {{1, 0.501866}, {4, 0.278198}, {9, 0.219935}}},
      {{.temperature = 1.3f, .top_k = 4, .top_p = 0.95f},
       {{1, 0.540226}, {4, 0.217956}, {9, 0.151829}, {8, 0.089988}}},
      {{.temperature = 0.5f, .top_p = 0.1f}, {{1, 1.0}}},
  };
  for (const Expected& c : cases) {
    const auto share = frequencies(kLogits, c.settings);
    EXPECT_EQ(share.size(), c.probabilities.size()) << c.settings.temperature;
    for (const auto& [token, p] : c.probabilities) {
      EXPECT_NEAR(share.contains(token) ? share.at(token) : 0.0, p, 1.0 / 4000 + 1e-6) << token;
    }
  }
}

// The documented rule by a full sort, in double precision.
int32_t rule(const float* logits, int64_t vocabulary, const SampleSettings& s,
             const std::vector<int32_t>& eos_ids) {
  std::vector<int32_t> order;
  for (int32_t id = 0; id < vocabulary; ++id) {
    const bool is_eos = std::find(eos_ids.begin(), eos_ids.end(), id) != eos_ids.end();
    if (!is_eos || !s.is_eos_banned) order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return logits[a] > logits[b]; });
  if (s.temperature == 0.0f) return order[0];
  const auto odds = [&](int32_t id) {
    return std::exp((double{logits[id]} - logits[order[0]]) / s.temperature);
  };
  const auto sum = [&] {
    double total = 0.0;
    for (const int32_t id : order) total += odds(id);
    return total;
  };
  if (s.top_k > 0 && s.top_k < static_cast<int64_t>(order.size())) {
    order.resize(static_cast<size_t>(s.top_k));
  }
  const auto first_to_exceed = [&](double threshold) {
    double running = 0.0;
    size_t i = 0;
    while (i + 1 < order.size() && (running += odds(order[i])) <= threshold) ++i;
    return i;
  };
  if (s.top_p < 1.0f) order.resize(first_to_exceed(sum() * s.top_p) + 1);
  return order[first_to_exceed(sum() * s.uniform)];
}

TEST(Sample, FollowsTheRuleOnAllVariants) {
  for (const int64_t vocabulary : {1, 5, 17, 1024, 3001, 20000}) {
    Call call;
    call.eos_ids = vocabulary > 5 ? std::vector<int32_t>{3, 2, 3} : std::vector<int32_t>();
    std::mt19937 generator(static_cast<uint32_t>(vocabulary));
    const auto uniform = [&] { return static_cast<float>(generator() >> 8) * 0x1p-24f; };
    for (int row = 0; row < 60; ++row) {
      SampleSettings s;
      s.temperature = row % 10 == 0 ? 0.0f : 0.1f + 3.0f * uniform();
      s.top_k = row % 3 == 0 ? 0 : 1 + static_cast<int32_t>(generator() % 300);
      s.top_p = row % 4 == 0 ? 1.0f : uniform();
      s.uniform = uniform();
      s.is_eos_banned = row % 2 == 1;
      call.rows.push_back(s);
      append(call.logits, random_floats(vocabulary, static_cast<uint32_t>(row), 8.0f));
    }
    const std::vector<int32_t> tokens = run_on_all_variants(call);
    for (size_t row = 0; row < tokens.size(); ++row) {
      EXPECT_EQ(tokens[row], rule(call.logits.data() + static_cast<int64_t>(row) * vocabulary,
                                  vocabulary, call.rows[row], call.eos_ids))
          << vocabulary << " row " << row;
    }
    TestDevice device = one_thread();
    for (size_t row = 0; row < tokens.size(); row += 7) {
      const auto first = call.logits.begin() + static_cast<int64_t>(row) * vocabulary;
      const Call alone{{first, first + vocabulary}, {call.rows[row]}, call.eos_ids};
      EXPECT_EQ(run(device, alone), std::vector<int32_t>{tokens[row]}) << "alone";
    }
  }
}

TEST(Sample, GreedyTakesTheLowerIdAtATie) {
  TestDevice device = one_thread();
  const std::vector<float> logits = {1.0f, 4.0f, -2.0f, 4.0f, 4.0f};
  EXPECT_EQ(run(device, {logits, {{}}}), std::vector<int32_t>{1});
  EXPECT_EQ(run(device, {logits, {{.is_eos_banned = true}}, {1, 4}}), std::vector<int32_t>{3});
  EXPECT_EQ(run(device, {logits, {{}}, {1, 4}}), std::vector<int32_t>{1});
  EXPECT_EQ(run(device, {{-0.0f, 0.0f}, {{}}}), std::vector<int32_t>{0});
}

TEST(Sample, TopKAtATieKeepsLowerIds) {
  const auto share = frequencies({0.0f, 2.0f, 1.0f, 1.0f, 1.0f}, {.temperature = 1.0f, .top_k = 3});
  ASSERT_EQ(share.size(), 3u);
  EXPECT_NEAR(share.at(2), share.at(3), 1.0 / 2000);
  EXPECT_NEAR(share.at(1) / share.at(2), std::exp(1.0), 0.02);
  // Thousands of equal logits in one bucket.
  TestDevice device = one_thread();
  const std::vector<float> equal(5000, -3.0f);
  const auto draw = [&](SampleSettings s) { return run(device, {equal, {s}})[0]; };
  EXPECT_EQ(draw({.temperature = 1.0f, .uniform = 0.5f}), 2500);
  EXPECT_EQ(draw({.temperature = 1.0f, .top_k = 2000, .uniform = 0.5f}), 1000);
  EXPECT_EQ(draw({.temperature = 1.0f, .top_p = 0.25f, .uniform = 0.999f}), 1248);
}

TEST(Sample, BordersOfTheSettings) {
  TestDevice device = one_thread();
  const float almost_one = 0x1.fffffep-1f;
  const auto draw = [&](SampleSettings s) { return run(device, {kLogits, {s}})[0]; };
  EXPECT_EQ(draw({.temperature = 1.0f, .uniform = 0.0f}), 1);
  EXPECT_EQ(draw({.temperature = 1.0f, .uniform = almost_one}), 10);  // the smallest logit
  EXPECT_EQ(draw({.temperature = 1.0f, .top_k = 1, .uniform = almost_one}), 1);
  EXPECT_EQ(draw({.temperature = 1.0f, .top_k = 100, .uniform = almost_one}), 10);
  EXPECT_EQ(draw({.temperature = 1.0f, .top_p = 0.0f, .uniform = almost_one}), 1);
  // Extreme temperatures overflow nothing.
  EXPECT_EQ(draw({.temperature = 1e-45f, .uniform = almost_one}), 1);
  EXPECT_EQ(draw({.temperature = 3e38f, .uniform = almost_one}), 10);
  const auto share = frequencies(kLogits, {.temperature = 1.0f, .is_eos_banned = true}, {1, 9});
  EXPECT_EQ(share.size(), kLogits.size() - 2);
  EXPECT_FALSE(share.contains(1) || share.contains(9));
}

TEST(Sample, LogitsOfMinusInfinityAreNeverDrawn) {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto share = frequencies({-infinity, 1.0f, -infinity, 0.0f}, {.temperature = 1.0f});
  EXPECT_EQ(share.size(), 2u);
  EXPECT_NEAR(share.at(1), std::exp(1.0) / (1.0 + std::exp(1.0)), 1e-3);
}

TEST(Sample, RowsThatAreNotFiniteGiveTheLowestToken) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> with_nan(40, 1.0f);
  with_nan[37] = nan;
  with_nan[5] = 2.0f;
  std::vector<float> with_infinity(40, 1.0f);
  with_infinity[9] = infinity;
  for (const auto& logits : {with_nan, with_infinity, std::vector<float>(40, -infinity)}) {
    for (const float temperature : {0.0f, 1.0f}) {
      for (const bool is_banned : {false, true}) {
        const SampleSettings s{
            .temperature = temperature, .uniform = 0.5f, .is_eos_banned = is_banned};
        EXPECT_EQ(run_on_all_variants({logits, {s}, {0, 1}}),
                  std::vector<int32_t>{is_banned ? 2 : 0});
      }
    }
  }
  // A NaN that is banned does not count.
  TestDevice device = one_thread();
  EXPECT_EQ(run(device, {with_nan, {{.is_eos_banned = true}}, {37}}), std::vector<int32_t>{5});
}

TEST(Sample, BannedTokensAreLeftOutOfEveryRow) {
  TestDevice device = one_thread();
  const std::vector<float> row = {1.0f, 4.0f, -2.0f, 4.0f, 4.0f};
  std::vector<float> logits = row;
  logits.insert(logits.end(), row.begin(), row.end());
  const std::vector<SampleSettings> rows = {{}, {.is_eos_banned = true}};
  EXPECT_EQ(run(device, {logits, rows, {3}, {1}}), (std::vector<int32_t>{3, 4}));
  EXPECT_EQ(run(device, {logits, rows, {4, 3}, {3, 1}}), (std::vector<int32_t>{4, 0}));
  for (int i = 0; i < 20; ++i) {
    const SampleSettings warm = {.temperature = 9.0f, .uniform = static_cast<float>(i) / 20};
    EXPECT_NE(run(device, {row, {warm}, {}, {3}}), std::vector<int32_t>{3});
  }
}

TEST(Sample, RefusesSettingsOutOfRange) {
  TestDevice device = one_thread();
  const auto refuses = [&](SampleSettings s, std::vector<int32_t> eos_ids, const char* part) {
    expect_error(
        [&] {
          run(device, {{1.0f, 2.0f}, {s}, std::move(eos_ids)});
        },
        ErrorKind::kInternal, part);
  };
  const float nan = std::numeric_limits<float>::quiet_NaN();
  refuses({.temperature = -1.0f}, {}, "sample: temperature is negative or not finite");
  refuses({.temperature = nan}, {}, "sample: temperature");
  refuses({.top_k = -1}, {}, "sample: top_k is negative");
  refuses({.top_p = 1.5f}, {}, "sample: top_p is not in 0 .. 1");
  refuses({.uniform = 1.0f}, {}, "sample: uniform is not in [0, 1)");
  refuses({}, {2}, "sample: eos_ids are not all in the vocabulary");
  refuses({}, {-1}, "sample: eos_ids are not all in the vocabulary");
  refuses({}, {1, 0}, "sample: eos_ids leave no token");
}

}  // namespace
}  // namespace switchyard::testing
