#include "runtime/kv_blocks.h"

#include <gtest/gtest.h>

#include <set>

#include "kernels/base/error.h"
#include "runtime/cache_groups.h"

namespace switchyard {
namespace {

using Pages = std::vector<std::vector<int32_t>>;

TEST(CacheGroups, LayersOfOneWindowShareAGroup) {
  ModelConfig config;
  config.layers.assign(5, FfnKind::kDense);
  ASSERT_EQ(cache_groups(config).size(), 1u);
  EXPECT_EQ(cache_groups(config)[0].layers, (std::vector<int>{0, 1, 2, 3, 4}));
  config.windows = {128, 0, 128, 0, 64};
  const std::vector<CacheGroup> groups = cache_groups(config);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_EQ(groups[0].window, 128);
  EXPECT_EQ(groups[0].layers, (std::vector<int>{0, 2}));
  EXPECT_EQ(groups[1].window, 0);
  EXPECT_EQ(groups[1].layers, (std::vector<int>{1, 3}));
  EXPECT_EQ(groups[2].layers, std::vector<int>{4});
  EXPECT_EQ(first_cache_pages(groups, {10, 3, 1}, 5), (std::vector<int64_t>{0, 20, 10, 23, 26}));
}

TEST(KvBlocks, BlocksNeededAreThoseOfTheWorstMoment) {
  const KvBlockShape shape = {{0, 1, 2, 65, 1000}, 64, 1};
  EXPECT_EQ(shape.blocks_needed(0, 0), 0);
  EXPECT_EQ(shape.blocks_needed(0, 1), 1);
  EXPECT_EQ(shape.blocks_needed(0, 65), 2);
  EXPECT_EQ(shape.blocks_needed(1, 1000), 1);
  EXPECT_EQ(shape.blocks_needed(2, 1000), 2);
  EXPECT_EQ(shape.blocks_needed(3, 1000), 2);  // 65 positions, never the last of two blocks' next
  EXPECT_EQ(shape.blocks_needed(4, 100), 2);   // no more than there are
  EXPECT_EQ((KvBlockShape{{66}, 64, 1}.blocks_needed(0, 1000)), 3);
  EXPECT_EQ((KvBlockShape{{2}, 64, 65}.blocks_needed(0, 1000)), 3);
  EXPECT_EQ((KvBlockShape{{2}, 128, 65}.pages_needed(0, 1000)), 4);
}

TEST(KvBlocks, SequencesTakeWhatTheyReserveAndGiveItBack) {
  KvBlocks blocks({{0}, 64, 100}, {5});
  KvTable first;
  KvTable second;
  KvTable third;
  EXPECT_TRUE(blocks.reserve(129, first));
  EXPECT_FALSE(blocks.reserve(129, second));
  EXPECT_TRUE(blocks.reserve(128, second));
  EXPECT_EQ(blocks.num_unreserved(0), 0);
  EXPECT_FALSE(blocks.reserve(1, third));
  blocks.advance(0, 64, first);
  blocks.advance(0, 100, second);
  blocks.advance(64, 129, first);
  std::set<int32_t> pages;
  for (const KvTable& table : {first, second}) {
    for (const int32_t page : table.groups[0].pages) EXPECT_TRUE(pages.insert(page).second);
  }
  EXPECT_EQ(pages, (std::set<int32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(first.pages_up_to(64)[0].size(), 1u);
  EXPECT_EQ(first.pages_up_to(129)[0], first.groups[0].pages);
  blocks.release(first);
  EXPECT_EQ(blocks.num_unreserved(0), 3);
  EXPECT_TRUE(blocks.reserve(192, third));
  EXPECT_THROW(blocks.advance(100, 201, second), Error) << "more than a chunk";
  EXPECT_THROW(blocks.advance(100, 150, second), Error) << "more than it reserved";
}

TEST(KvBlocks, WindowsGiveBackWhatNoRowSees) {
  KvBlocks blocks({{65, 0}, 64, 64}, {4, 10});
  KvTable table;
  ASSERT_TRUE(blocks.reserve(400, table));
  EXPECT_EQ(blocks.num_unreserved(0), 1);
  EXPECT_EQ(blocks.num_unreserved(1), 3);
  blocks.advance(0, 64, table);
  blocks.advance(64, 128, table);
  blocks.advance(127, 128, table);  // sees position 63
  EXPECT_EQ(table.pages_up_to(128), (Pages{{0, 1}, {0, 1}}));
  blocks.advance(128, 129, table);  // sees position 64
  EXPECT_EQ(table.pages_up_to(129), (Pages{{-1, 1, 0}, {0, 1, 2}}));
  for (int64_t first = 129; first < 400; ++first) blocks.advance(first, first + 1, table);
  EXPECT_EQ(table.pages_up_to(400)[1], (std::vector<int32_t>{0, 1, 2, 3, 4, 5, 6}));
  blocks.release(table);
  EXPECT_EQ(blocks.num_unreserved(0), 4);
  EXPECT_EQ(blocks.num_unreserved(1), 10);
  KvTable all;
  ASSERT_TRUE(blocks.reserve(400, all));
}

TEST(KvBlocks, LargerBlocksArePagesInARow) {
  KvBlocks blocks({{0}, 192, 500}, {7});
  KvTable table;
  EXPECT_FALSE(blocks.reserve(385, table));
  ASSERT_TRUE(blocks.reserve(384, table));
  blocks.advance(0, 10, table);
  EXPECT_EQ(table.pages_up_to(10), (Pages{{0}}));
  blocks.advance(10, 300, table);
  EXPECT_EQ(table.pages_up_to(300), (Pages{{0, 1, 2, 3, 4}}));
}

}  // namespace
}  // namespace switchyard
