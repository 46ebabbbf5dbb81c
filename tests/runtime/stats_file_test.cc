// Statistics on their way to a file and back, and files that are none.
#include "runtime/run_report/stats_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "tests/runtime/expect_error.h"
#include "tests/runtime/stats_case.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace json = boost::json;
using testing::HasSubstr;
using testing::Not;

TEST(StatsFile, IsReadAsItWasWritten) {
  const StatsFile written = small_stats();
  const std::string text = format_stats(written);
  const StatsFile read = parse_stats(text, "run.json");
  EXPECT_EQ(format_stats(read), text);
  EXPECT_EQ(read.run.numerics, written.run.numerics);
  EXPECT_EQ(read.run.moe_layers, written.run.moe_layers);
  ASSERT_EQ(read.ranks.size(), 2u);
  EXPECT_EQ(read.ranks[1].host, "node-b");
  EXPECT_EQ(read.ranks[1].cache.log, written.ranks[1].cache.log);
  EXPECT_EQ(read.ranks[1].cache.policy, CachePolicy::kLfu);
  EXPECT_EQ(read.ranks[1].cache.scope, CacheScope::kLayer);
  EXPECT_EQ(read.ranks[0].cache.predictions.times_switched_off, 1);
  EXPECT_EQ(read.ranks[0].cache.experts[1][1].uses, 20);
}

TEST(StatsFile, ShowsRatesBesideTheirCounts) {
  const json::value value = json::parse(format_stats(small_stats()));
  const json::value& cache = value.at("ranks").at(0).at("cache");
  EXPECT_EQ(cache.at("uniform_hit_rate").to_number<double>(), 0.5);
  // Layer 1 has 0 + 1 of 3 hits, layer 3 has 5 + 10 of 30.
  EXPECT_DOUBLE_EQ(cache.at("hit_rate").to_number<double>(), 16.0 / 33.0);
  EXPECT_DOUBLE_EQ(cache.at("layers").at(0).at("hit_rate").to_number<double>(), 1.0 / 3.0);
  EXPECT_EQ(cache.at("layers").at(1).at("misses"), json::value({5, 10}));
  EXPECT_DOUBLE_EQ(cache.at("files").at("gb_per_second").to_number<double>(), 2.0 * 1.073741824);
  EXPECT_EQ(cache.at("predictions").at("precision").to_number<double>(), 0.6);
  EXPECT_EQ(cache.at("predictions").at("recall").to_number<double>(), 0.75);
}

TEST(StatsFile, ADenseModelAndUnrecordedExpertsAreFine) {
  StatsFile dense = small_stats();
  dense.run.moe_layers.clear();
  dense.run.num_experts.clear();
  for (RankStats& rank : dense.ranks) {
    rank.cache = {};
    rank.expert_rows = rank.choices = rank.dropped = {};
  }
  EXPECT_TRUE(parse_stats(format_stats(dense), "run.json").run.moe_layers.empty());
  StatsFile unrecorded = small_stats();
  unrecorded.ranks[0].cache = unrecorded.ranks[1].cache = {};
  const StatsFile read = parse_stats(format_stats(unrecorded), "run.json");
  expect_error(ErrorKind::kInput, {"run.json", "records no use"}, [&] { uses_by_expert(read); });
}

TEST(StatsFile, FilesOfBeforeStepsWereRecordedAreRead) {
  json::value value = json::parse(format_stats(small_stats()));
  value.at("ranks").at(1).at("seconds").as_object().erase("graph");
  const StatsFile read = parse_stats(json::serialize(value), "run.json");
  EXPECT_EQ(read.ranks[0].seconds[static_cast<size_t>(Phase::kGraph)], 0.5);
  EXPECT_EQ(read.ranks[1].seconds[static_cast<size_t>(Phase::kGraph)], 0.0);
  EXPECT_EQ(read.ranks[1].seconds[static_cast<size_t>(Phase::kIdle)], 0.5);
}

TEST(StatsFile, UsesAreThoseOfAllRanks) {
  StatsFile stats = small_stats();
  EXPECT_EQ(uses_by_expert(stats),
            (std::vector<std::vector<int64_t>>{{1, 2, 3, 4}, {10, 20, 30, 40}}));
  stats.ranks[1].cache.expert_ids[0] = {0, 3};  // a copy of expert 0
  EXPECT_EQ(uses_by_expert(stats)[0], (std::vector<int64_t>{4, 2, 0, 4}));
}

TEST(StatsFile, HotUsesMustBeOfTheSameModel) {
  const TempFolder folder;
  const std::string path = folder.write("run.json", format_stats(small_stats()));
  ModelConfig config;
  config.layers = {FfnKind::kDense, FfnKind::kMoe, FfnKind::kDense, FfnKind::kMoe};
  config.router.num_experts = 4;
  EXPECT_EQ(read_hot_uses(path, config)[1][3], 40);
  config.router.num_experts = 8;
  expect_error(ErrorKind::kInput, {path, "2 MoE layers of 4 experts", "2 MoE layers of 8 experts"},
               [&] { read_hot_uses(path, config); });
  config.router.num_experts = 4;
  config.layers[0] = FfnKind::kMoe;
  expect_error(ErrorKind::kInput, {path, "(3 MoE layers of 4"},
               [&] { read_hot_uses(path, config); });
  expect_error(ErrorKind::kInput, {"absent.json", "--stats wrote"},
               [&] { read_hot_uses(folder.path("absent.json"), config); });
}

TEST(StatsFile, LogsAreShortenedWhereALayerBegins) {
  CacheStats cache;
  for (size_t i = 0; i < CacheStats::kMaxLoggedUses / 4; ++i) {
    cache.log.insert(cache.log.end(), {0, 2, 0, 1});
  }
  const size_t all = cache.log.size();
  shorten_log(cache, 4);
  EXPECT_EQ(cache.log.size(), all);
  shorten_log(cache, 5);
  EXPECT_EQ(cache.log.size(), kMaxFileUses / 5 / 4 * 4);
  cache.log = {0, 0};
  shorten_log(cache, 1);
  EXPECT_EQ(cache.log.size(), 2u);
}

/// The file with one of its entries, at a path as "/ranks/0/host", replaced or removed.
std::string changed(const std::string& pointer, const std::optional<json::value>& value) {
  json::value root = json::parse(format_stats(small_stats()));
  const size_t slash = pointer.rfind('/');
  json::object& parent = root.at_pointer(pointer.substr(0, slash)).as_object();
  if (value) {
    parent[pointer.substr(slash + 1)] = *value;
  } else {
    parent.erase(pointer.substr(slash + 1));
  }
  return json::serialize(root);
}

TEST(StatsFile, EveryMissingEntryIsNamed) {
  for (const std::string pointer :
       {"/program_version", "/steps", "/model/family", "/model/experts", "/ranks/1/host",
        "/ranks/1/rows", "/ranks/1/seconds/gate", "/ranks/1/expert_rows", "/ranks/1/cache/slots",
        "/ranks/1/cache/policy", "/ranks/1/cache/files/bytes", "/ranks/1/cache/log",
        "/ranks/1/cache/predictions/used", "/ranks/1/cache/layers/1/uses"}) {
    const std::string key = pointer.substr(pointer.rfind('/') + 1);
    expect_error(ErrorKind::kInput, {"run.json: ", "lacks the entry \"" + key + "\""},
                 [&] { parse_stats(changed(pointer, std::nullopt), "run.json"); });
  }
}

TEST(StatsFile, WhatCannotBeIsRefusedByName) {
  const std::tuple<const char*, json::value, const char*> cases[] = {
      {"/format_version", 2, "version 2"},
      {"/steps", -1, "steps: expected a whole number"},
      {"/steps", "7", "steps: expected a whole number"},
      {"/model/moe_layers", {3, 1}, "model.moe_layers: expected numbers that ascend"},
      {"/model/moe_layers", {1}, "model.experts: expected a number for each of 1 MoE"},
      {"/model/experts", {2, 2}, "expert: its number 0 is not a whole number from 0 to 1"},
      {"/ranks", json::array(), "ranks: expected at least one"},
      {"/ranks/0/cache/policy", "fifo", "cache.policy: expected one of lru, lfu, static"},
      {"/ranks/0/cache/scope", "all", "cache.scope: expected one of"},
      {"/ranks/0/cache/stall_seconds", -0.5, "stall_seconds: expected seconds"},
      {"/ranks/0/cache/layers/1/layer", 2, "layers[1].layer: expected MoE layer 3"},
      {"/ranks/0/cache/layers", {1}, "cache.layers: holds 1 layers; expected the model's 2"},
      {"/ranks/0/cache/layers/0/uses", {1}, "uses: holds 1 numbers; expected 2"},
      {"/ranks/0/cache/layers/0/uses", {1, 0.5}, "uses: its number 1 is not"},
      {"/ranks/0/cache/layers/0/hits", {9, 0}, "layers[0]: has more hits than uses"},
      {"/ranks/0/cache/layers/0/expert", {1, 1}, "expert: names an expert twice"},
      {"/ranks/0/cache/log", {0, 5, 1}, "cache.log: the log of uses is cut short"},
      {"/ranks/0/dropped", {0, 0, 0}, "dropped: holds 3 numbers; expected 2"},
  };
  for (const auto& [pointer, value, what] : cases) {
    expect_error(ErrorKind::kInput, {"run.json: ", what},
                 [&, p = pointer, v = value] { parse_stats(changed(p, v), "run.json"); });
  }
  for (const char* text : {"{}", "[1]", "{\"id\": 1}\n{\"id\": 2}\n", "[\"switchyard-stats\"]",
                           "{\"format\": \"other\"}", "7"}) {
    expect_error(ErrorKind::kInput, {"run.json: is not a statistics file", "--stats"},
                 [&] { parse_stats(text, "run.json"); });
  }
  expect_error(ErrorKind::kInput, {"run.json", "no valid JSON"},
               [] { parse_stats(format_stats(small_stats()).substr(0, 500), "run.json"); });
  std::string twice = format_stats(small_stats());
  twice.insert(1, "\"steps\":1,");
  expect_error(ErrorKind::kInput, {"'steps' twice"}, [&] { parse_stats(twice, "run.json"); });
}

TEST(RunStats, TableOfCachesStandsWhereExpertsExceedSlots) {
  StatsFile stats = small_stats();
  const std::string text = stats_text(stats.ranks, {1, 3});
  EXPECT_THAT(text, HasSubstr("uniform"));
  EXPECT_THAT(text, HasSubstr("48.5 %"));  // 16 of 33
  EXPECT_THAT(text, HasSubstr("50.0 %"));
  EXPECT_THAT(text, HasSubstr("3.0 GiB"));
  EXPECT_THAT(text, HasSubstr("2.15"));
  EXPECT_THAT(text, HasSubstr("1.50 s of the loading threads' time"));
  EXPECT_THAT(text, HasSubstr("switchyard convert"));
  for (RankStats& rank : stats.ranks) {
    rank.cache.num_slots = 4;
    rank.cache.pack_seconds = 0.0;
  }
  EXPECT_THAT(stats_text(stats.ranks, {1, 3}), Not(HasSubstr("uniform")));
}

}  // namespace
}  // namespace switchyard
