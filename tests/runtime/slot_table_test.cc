#include "runtime/slot_table.h"

#include <gtest/gtest.h>

#include <numeric>

namespace switchyard {
namespace {

constexpr int64_t kNone = SlotTable::kNone;

SlotTable make_table(std::vector<int64_t> layers, int64_t slots,
                     CacheScope scope = CacheScope::kGlobal, CachePolicy policy = CachePolicy::kLru,
                     std::vector<int64_t> uses = {}) {
  const int64_t experts = std::accumulate(layers.begin(), layers.end(), int64_t{0});
  return SlotTable(layers, slots, scope, EvictionPolicy(policy, experts, std::move(uses)));
}

void put(SlotTable& table, int64_t expert) {
  const int64_t slot = table.find_slot(expert);
  ASSERT_NE(slot, kNone);
  table.give(slot, expert, SlotPurpose::kNeeded);
  table.set_filled(slot);
}

TEST(ShareOut, GivesAllInProportion) {
  const std::vector<int64_t> weights = {8, 8, 4, 0};
  EXPECT_EQ(share_out(10, weights, 0), (std::vector<int64_t>{4, 4, 2, 0}));
  EXPECT_EQ(share_out(20, weights, 1), weights);
  EXPECT_EQ(share_out(3, weights, 1), (std::vector<int64_t>{1, 1, 1, 0}));
  const std::vector<int64_t> odd = share_out(11, weights, 1);
  EXPECT_EQ(std::accumulate(odd.begin(), odd.end(), int64_t{0}), 11);
}

TEST(SlotTable, GivesUpTheLeastRecentlyUsed) {
  SlotTable table = make_table({4}, 2);
  put(table, 0);
  put(table, 1);
  table.record_use(1);
  table.record_use(0);
  EXPECT_EQ(table.expert_in(table.find_slot(2)), 1);
  put(table, 2);
  EXPECT_EQ(table.slot_of(1), kNone);
  EXPECT_NE(table.slot_of(0), kNone);
}

TEST(SlotTable, NeverGivesUpWhatIsPinnedBeingFilledOrExpected) {
  SlotTable table = make_table({5}, 3);
  for (const int64_t expert : {0, 1, 2}) put(table, expert);
  table.pin(0);
  table.expect(1, true);
  const int64_t filling = table.find_slot(3);
  EXPECT_EQ(table.give(filling, 3, SlotPurpose::kNeeded), 2);
  EXPECT_EQ(table.find_slot(4), kNone);
  // Without which nothing goes on: first the expected one, then a pinned one that is not kept.
  EXPECT_EQ(table.expert_in(table.find_slot_by_force(4, {})), 1);
  table.pin(1);
  const std::vector<int64_t> kept = {0};
  EXPECT_EQ(table.expert_in(table.find_slot_by_force(4, kept)), 1);
  table.set_filled(filling);
  EXPECT_EQ(table.find_slot(4), filling);
}

TEST(SlotTable, LayersOfTheirOwnSlotsDoNotTakeFromEachOther) {
  SlotTable table = make_table({4, 8}, 6, CacheScope::kLayer);
  EXPECT_EQ(table.slots_of_layer(0), 2);
  EXPECT_EQ(table.slots_of_layer(1), 4);
  for (const int64_t expert : {4, 5, 6, 7}) put(table, expert);
  put(table, 8);
  EXPECT_EQ(table.slot_of(4), kNone);
  put(table, 0);
  put(table, 1);
  put(table, 2);
  EXPECT_EQ(table.slot_of(0), kNone);
  EXPECT_NE(table.slot_of(8), kNone);
}

TEST(SlotTable, ASweepTurnsAFewSlotsAndLeavesTheOthers) {
  SlotTable table = make_table({16, 16}, 16);
  for (const int64_t expert : table.first_experts()) put(table, expert);
  EXPECT_EQ(table.streaming_limit(0), 4);
  table.set_regime(SlotRegime::kSweep);
  int64_t stayed = 0;
  for (int pass = 0; pass < 3; ++pass) {
    stayed = 0;
    for (int64_t expert = 0; expert < 32; ++expert) {
      table.record_use(expert);
      if (table.slot_of(expert) != kNone) {
        ++stayed;
      } else {
        put(table, expert);
      }
      table.set_used(table.slot_of(expert));
    }
  }
  EXPECT_EQ(stayed, 15);  // one slot turns where nothing else is on its way
  int64_t taken = 0;
  for (int64_t expert = 0; expert < 32; ++expert) {
    if (table.slot_of(expert) != kNone) continue;
    const int64_t slot = table.find_slot(expert);
    if (slot == kNone) break;
    table.give(slot, expert, SlotPurpose::kNeeded);  // and stays on its way
    ++taken;
  }
  EXPECT_EQ(taken, 4);
}

TEST(SlotTable, WhatCameAheadInVainGoesFirst) {
  SlotTable table = make_table({4}, 2);
  put(table, 0);
  const int64_t slot = table.find_slot(1);
  table.give(slot, 1, SlotPurpose::kAhead);
  table.set_filled(slot);
  table.record_use(1);  // the policy alone would give up expert 0
  EXPECT_TRUE(table.is_unused(slot));
  EXPECT_EQ(table.find_slot(2), slot);
  table.set_used(slot);
  EXPECT_EQ(table.expert_in(table.find_slot(2)), 0);
}

TEST(SlotTable, BeginsWithAShareOfEachLayerOrTheHottest) {
  EXPECT_EQ(make_table({4, 4}, 4).first_experts(), (std::vector<int64_t>{0, 1, 4, 5}));
  const std::vector<int64_t> uses = {9, 1, 8, 7, 0, 6, 5, 0};
  EXPECT_EQ(make_table({4, 4}, 4, CacheScope::kGlobal, CachePolicy::kStatic, uses).first_experts(),
            (std::vector<int64_t>{0, 2, 3, 5}));
  EXPECT_EQ(make_table({4, 4}, 4, CacheScope::kLayer, CachePolicy::kStatic, uses).first_experts(),
            (std::vector<int64_t>{0, 2, 5, 6}));
}

TEST(EvictionPolicy, KeepsWhatItsNameSays) {
  const std::vector<int64_t> all = {0, 1, 2};
  EvictionPolicy lfu(CachePolicy::kLfu, 3);
  for (const int64_t expert : {0, 0, 2, 1, 1}) lfu.record_use(expert);
  EXPECT_EQ(lfu.victim(all), 2);
  lfu.record_use(2);  // equal counts: the one used longest ago
  EXPECT_EQ(lfu.victim(all), 0);
  EvictionPolicy fixed(CachePolicy::kStatic, 3, {5, 1, 3});
  for (int i = 0; i < 9; ++i) fixed.record_use(1);
  EXPECT_EQ(fixed.victim(all), 1);
}

}  // namespace
}  // namespace switchyard
