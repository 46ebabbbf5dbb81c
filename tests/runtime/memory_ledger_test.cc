// What is told of a job's GPUs when everything is allocated.
#include "runtime/memory_ledger.h"

#include <gtest/gtest.h>

namespace switchyard {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

TEST(MemoryLedger, TellsTheGpuWithLeastLeft) {
  const std::vector<LedgerEntry> entries = {{"node 0, GPU a", 40 * kGiB, 79 * kGiB, 30 * kGiB},
                                            {"node 0, GPU b", 60 * kGiB, 79 * kGiB, 17 * kGiB}};
  EXPECT_EQ(ledger_text(entries),
            "node 0, GPU b: 1 rank planned 60.0 GiB and took 62.0 GiB; 17.0 GiB are left");
  EXPECT_EQ(least_left(entries), 17 * kGiB);
}

TEST(MemoryLedger, AddsTheRanksOfAGpu) {
  const std::vector<LedgerEntry> entries = {{"GPU a", 20 * kGiB, 79 * kGiB, 30 * kGiB},
                                            {"GPU a", 22 * kGiB, 70 * kGiB, 29 * kGiB}};
  EXPECT_EQ(ledger_text(entries),
            "GPU a: 2 ranks planned 42.0 GiB and took 50.0 GiB; 29.0 GiB are left");
}

TEST(MemoryLedger, SaysNothingWithoutGpus) { EXPECT_EQ(ledger_text({}), ""); }

}  // namespace
}  // namespace switchyard
