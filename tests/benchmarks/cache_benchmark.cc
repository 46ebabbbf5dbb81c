// What a cache of experts would hit while decoding, by its size and policy:
//   cache_benchmark [--model DIR --prompts FILE.jsonl] [--tokens N] [--threads N]
// On the uses of a model that decodes (the small trained one of the tests), and on routers made by
// chance whose experts differ in popularity and whose tokens stay with what they used before.
// Policies are compared on the second half of the steps; the static one has seen the first. The
// model then runs with so many slots for real, which checks the simulation and shows how good the
// next layer's predictions are.
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <random>
#include <string>

#include "kernels/base/log.h"
#include "kernels/base/text_table.h"
#include "runtime/cache_simulation.h"
#include "runtime/generate.h"
#include "runtime/run_report/stats_file.h"

namespace switchyard {
namespace {

constexpr int kNumSizes = 8;  // of which the smallest seven are shown
constexpr int64_t kBatchSizes[] = {1, 4, 16};

struct Options {
  std::string model = SWITCHYARD_TEST_DATA "/trained_moe_8e";
  std::string prompts = SWITCHYARD_TEST_DATA "/trained_moe_8e/requests_generate.jsonl";
  int64_t tokens = 96;
  int threads = 1;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--model") {
      options.model = argv[i + 1];
    } else if (name == "--prompts") {
      options.prompts = argv[i + 1];
    } else if (name == "--tokens") {
      options.tokens = std::stoll(argv[i + 1]);
    } else if (name == "--threads") {
      options.threads = std::stoi(argv[i + 1]);
    } else {
      fail_usage("unknown argument ", name, "; see cache_benchmark.cc");
    }
  }
  if (argc % 2 == 0) fail_usage(argv[argc - 1], " needs a value");
  return options;
}

/// Shows nothing.
class NoProgress : public ProgressSink {
 public:
  void start() override {}
  void update(const Progress&) override {}
  void finish(const Progress&) override {}
};

/// Decodes by the model, `batch_size` sequences at a time, and returns its account.
CacheStats decode(const Options& options, int64_t batch_size, const TierOptions& tiers) {
  const std::string stats_file =
      (std::filesystem::temp_directory_path() / concat("cache_benchmark.", getpid(), ".json"))
          .string();
  GenerateOptions run;
  run.run.model = options.model;
  run.run.tiers = tiers;
  run.run.stats_file = stats_file;
  run.input = options.prompts;
  run.output = "/dev/null";
  run.rules.max_new_tokens = options.tokens;
  run.rules.eos = EosRule::kIgnored;
  run.rules.num_results = batch_size;  // told apart by chance
  run.rules.sampling.temperature = 1.0f;
  run.batch.batch_size = batch_size;
  const std::unique_ptr<Backend> backend = make_backend({.num_threads = options.threads});
  const std::unique_ptr<Communicator> world = make_communicator(*backend, {});
  NoProgress progress;
  run_generate(run, *backend, *world, progress);
  const StatsFile stats = read_stats_file(stats_file);
  std::filesystem::remove(stats_file);
  return stats.ranks.at(0).cache;
}

/// A router without a model.
struct ChanceRouter {
  double zipf = 1.0;      // the n-th most popular expert has 1 / n^zipf of the first one's tokens
  double locality = 0.0;  // how often a token goes where its sequence went a step before
};

/// Experts that one sequence uses in one layer of one step.
std::vector<int32_t> route(const ChanceRouter& router, const std::vector<int32_t>& before,
                           std::discrete_distribution<int32_t>& popularity, std::mt19937& random) {
  constexpr size_t kTopK = 4;
  std::vector<int32_t> experts;
  std::bernoulli_distribution stays(router.locality);
  while (experts.size() < kTopK) {
    const int32_t expert =
        !before.empty() && stays(random) ? before[random() % before.size()] : popularity(random);
    if (std::ranges::find(experts, expert) == experts.end()) experts.push_back(expert);
  }
  return experts;
}

/// Steps of eight layers of 64 experts, of which each of `batch_size` tokens uses four.
UseLog uses_by_chance(const ChanceRouter& router, int64_t batch_size) {
  constexpr int64_t kLayers = 8;
  constexpr int64_t kExperts = 64;
  constexpr int kSteps = 600;
  std::mt19937 random(1);
  std::vector<std::discrete_distribution<int32_t>> popularity;
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    std::vector<double> weights;
    for (int64_t i = 1; i <= kExperts; ++i) {
      weights.push_back(std::pow(static_cast<double>(i), -router.zipf));
    }
    std::ranges::shuffle(weights, random);
    popularity.emplace_back(weights.begin(), weights.end());
  }
  UseLog uses{std::vector<int64_t>(kLayers, kExperts), {}};
  std::map<std::pair<int64_t, int64_t>, std::vector<int32_t>> before;  // by layer and sequence
  for (int step = 0; step < kSteps; ++step) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      std::vector<int32_t> used;
      for (int64_t sequence = 0; sequence < batch_size; ++sequence) {
        std::vector<int32_t>& last = before[{layer, sequence}];
        last = route(router, last, popularity[static_cast<size_t>(layer)], random);
        used.insert(used.end(), last.begin(), last.end());
      }
      std::ranges::sort(used);
      used.erase(std::unique(used.begin(), used.end()), used.end());
      uses.log.push_back(static_cast<int32_t>(layer));
      uses.log.push_back(static_cast<int32_t>(used.size()));
      uses.log.insert(uses.log.end(), used.begin(), used.end());
    }
  }
  return uses;
}

int64_t experts_of(const UseLog& uses) {
  int64_t experts = 0;
  for (const int64_t count : uses.num_experts) experts += count;
  return experts;
}

std::string percent(double share) { return format_fixed(100.0 * share, 1); }

/// Adds a row for every size. Returns whether no policy beats the optimum.
bool add_policies(const std::string& source, const UseLog& uses, TextTable& table) {
  const UseLog test = half_of(uses, LogHalf::kSecond);
  const std::vector<std::vector<int64_t>> earlier = count_uses(half_of(uses, LogHalf::kFirst));
  bool is_right = true;
  for (int size = 1; size < kNumSizes; ++size) {
    const int64_t slots = experts_of(uses) * size / kNumSizes;
    const auto rate = [&](SimulatedPolicy policy) {
      const SimulatedHits hits = simulate_cache(
          test,
          {policy, CacheScope::kGlobal, slots,
           policy == SimulatedPolicy::kStatic ? earlier : std::vector<std::vector<int64_t>>()});
      return share_of(hits.hits, hits.uses);
    };
    const double best = rate(SimulatedPolicy::kOptimum);
    std::vector<std::string> row = {source, percent(static_cast<double>(size) / kNumSizes),
                                    percent(uniform_hit_rate(slots, experts_of(uses)))};
    for (const SimulatedPolicy policy :
         {SimulatedPolicy::kLru, SimulatedPolicy::kLfu, SimulatedPolicy::kStatic}) {
      row.push_back(percent(rate(policy)));
      is_right = is_right && rate(policy) <= best;
    }
    row.push_back(percent(best));
    table.add_row(row);
  }
  return is_right;
}

/// Runs the model with few slots and adds what it had to the table. Returns whether the simulation
/// had the same hits, apart from those of experts that the cache began with.
bool add_measured(const Options& options, int64_t batch_size, TextTable& table) {
  bool is_right = true;
  for (const int size : {2, 4, 6}) {
    TierOptions tiers;
    tiers.prefetch = Prefetch::kOff;
    tiers.expert_slots = num_experts(decode(options, 1, tiers)) * size / kNumSizes;
    const CacheStats measured = decode(options, batch_size, tiers);
    const ExpertAccount total = total_of(measured);
    const SimulatedHits simulated = simulate_cache(
        use_log(measured), {SimulatedPolicy::kLru, CacheScope::kGlobal, measured.num_slots});
    // A sweep is no cache: it keeps what the policy would give up.
    const int64_t difference = std::abs(total.hits - simulated.hits);
    const bool is_same = measured.sweeps > 0 || difference <= measured.num_slots;
    is_right = is_right && is_same;
    tiers.prefetch = Prefetch::kOn;
    const CacheStats ahead = decode(options, batch_size, tiers);
    const PredictionCounts& p = ahead.predictions;
    const ExpertAccount ahead_total = total_of(ahead);
    table.add_row(
        {std::to_string(batch_size), percent(static_cast<double>(size) / kNumSizes),
         percent(share_of(total.hits, total.uses)),
         percent(share_of(simulated.hits, simulated.uses)), std::to_string(measured.sweeps),
         percent(share_of(ahead_total.hits, ahead_total.uses)),
         p.predicted > 0 ? percent(share_of(p.correct, p.predicted)) : "-",
         p.used > 0 ? percent(share_of(p.correct, p.used)) : "-", is_same ? "yes" : "NO"});
  }
  return is_right;
}

int run(const Options& options) {
  set_log_level(LogLevel::kWarning);
  bool is_right = true;
  TextTable policies({"uses", "slots %", "uniform %", "lru %", "lfu %", "static %", "optimum %"});
  TextTable measured({"batch", "slots %", "lru hits %", "simulated %", "sweeps",
                      "hits with prediction %", "its precision %", "its recall %", "right"});
  for (const int64_t batch_size : kBatchSizes) {
    const CacheStats stats = decode(options, batch_size, {});
    is_right &= add_policies(concat("model, batch ", batch_size), use_log(stats), policies);
    is_right &= add_measured(options, batch_size, measured);
  }
  for (const ChanceRouter& router : {ChanceRouter{1.0, 0.0}, ChanceRouter{1.0, 0.5}}) {
    for (const int64_t batch_size : kBatchSizes) {
      const std::string source = concat("zipf ", format_fixed(router.zipf, 1), ", locality ",
                                        format_fixed(router.locality, 1), ", batch ", batch_size);
      is_right &= add_policies(source, uses_by_chance(router, batch_size), policies);
    }
  }
  std::printf("simulated on the second half of the steps\n%s\nthe model with so many slots\n%s",
              policies.text().c_str(), measured.text().c_str());
  if (!is_right) std::printf("WRONG: the simulation is not what the cache does\n");
  return is_right ? 0 : 1;
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  try {
    return switchyard::run(switchyard::parse(argc, argv));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cache_benchmark: %s\n", error.what());
    return 1;
  }
}
