#include "kernels/base/nearest_name.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

TEST(EditDistance, CountsInsertionsDeletionsSubstitutionsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("", "ab"), 2);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("score", "socre"), 1);
  EXPECT_EQ(edit_distance("score", "score"), 0);
}

TEST(NearestName, FindsSlipsAndBeginningsOnly) {
  const std::vector<std::string> names = {"model", "input", "output", "max-batch-tokens"};
  EXPECT_EQ(nearest_name("modle", names), "model");
  EXPECT_EQ(nearest_name("ouptut", names), "output");
  EXPECT_EQ(nearest_name("max-b", names), "max-batch-tokens");
  EXPECT_EQ(nearest_name("max_batch_tokens", names), "max-batch-tokens");
  EXPECT_EQ(nearest_name("zebra", names), std::nullopt);
  EXPECT_EQ(nearest_name("", names), std::nullopt);
  EXPECT_EQ(nearest_name(std::string(100000, 'x'), names), std::nullopt);
}

TEST(NearestName, TheEarlierNameWinsATie) {
  EXPECT_EQ(nearest_name("abd", {"abc", "abe"}), "abc");
  EXPECT_EQ(suggestion("abd", {"abc"}, "--"), " (did you mean '--abc'?)");
  EXPECT_EQ(suggestion("xyz", {"abc"}), "");
}

}  // namespace
}  // namespace switchyard
