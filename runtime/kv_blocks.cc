#include "runtime/kv_blocks.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr int32_t kNoPage = -1;

int64_t blocks_of(int64_t positions, int64_t page_size) {
  return (positions + page_size - 1) / page_size;
}

}  // namespace

int64_t KvBlockShape::blocks_needed(size_t group, int64_t rows) const {
  const int64_t all = blocks_of(rows, page_size);
  if (windows[group] == 0 || rows == 0) return all;
  // A step's rows and what the first of them sees: so many positions in a row, which may begin on
  // the last position of a block.
  const int64_t seen = windows[group] - 1 + std::min(chunk, rows);
  return std::min(all, (seen + page_size - 2) / page_size + 1);
}

std::vector<std::vector<int32_t>> KvTable::pages_up_to(int64_t positions) const {
  std::vector<std::vector<int32_t>> result;
  for (const Group& group : groups) {
    result.emplace_back(group.pages.begin(), group.pages.begin() + pages_of(positions));
  }
  return result;
}

KvBlocks::KvBlocks(const KvBlockShape& shape, const std::vector<int64_t>& pages) : shape_(shape) {
  SWITCHYARD_CHECK(pages.size() == shape.windows.size());
  SWITCHYARD_CHECK(shape.page_size > 0 && shape.page_size % kKeysPerPage == 0);
  for (const int64_t count : pages) {
    Group& group = groups_.emplace_back();
    group.unreserved = count / shape.pages_per_block();
    for (int64_t block = group.unreserved - 1; block >= 0; --block) {
      group.free.push_back(static_cast<int32_t>(block));
    }
  }
}

bool KvBlocks::reserve(int64_t rows, KvTable& table) {
  for (size_t i = 0; i < groups_.size(); ++i) {
    if (shape_.blocks_needed(i, rows) > groups_[i].unreserved) return false;
  }
  table.groups.assign(groups_.size(), {});
  for (size_t i = 0; i < groups_.size(); ++i) {
    table.groups[i].reserved = shape_.blocks_needed(i, rows);
    groups_[i].unreserved -= table.groups[i].reserved;
  }
  return true;
}

void KvBlocks::advance(int64_t first, int64_t end, KvTable& table) {
  SWITCHYARD_CHECK(first < end && end - first <= shape_.chunk);
  for (size_t i = 0; i < groups_.size(); ++i) {
    KvTable::Group& mine = table.groups[i];
    if (shape_.windows[i] > 0) {
      const int64_t first_seen = std::max(int64_t{0}, first - shape_.windows[i] + 1);
      while ((mine.passed + 1) * shape_.page_size <= first_seen) {
        free_block(i, mine.passed, mine);
        ++mine.passed;
      }
    }
    const int64_t per_block = shape_.pages_per_block();
    while (static_cast<int64_t>(mine.pages.size()) < blocks_of(end, shape_.page_size) * per_block) {
      SWITCHYARD_CHECK(mine.held < mine.reserved, "a sequence takes more than it reserved");
      const int64_t block = groups_[i].free.back();
      groups_[i].free.pop_back();
      ++mine.held;
      for (int64_t page = 0; page < per_block; ++page) {
        mine.pages.push_back(static_cast<int32_t>(block * per_block + page));
      }
    }
  }
}

void KvBlocks::restart(KvTable& table) {
  for (size_t i = 0; i < groups_.size(); ++i) {
    KvTable::Group& mine = table.groups[i];
    const int64_t taken = static_cast<int64_t>(mine.pages.size()) / shape_.pages_per_block();
    for (int64_t block = taken - 1; block >= mine.passed; --block) free_block(i, block, mine);
    mine.pages.clear();
    mine.passed = 0;
  }
}

void KvBlocks::release(KvTable& table) {
  restart(table);
  for (size_t i = 0; i < groups_.size(); ++i) groups_[i].unreserved += table.groups[i].reserved;
  table.groups.clear();
}

void KvBlocks::free_block(size_t group, int64_t block, KvTable::Group& table) {
  const int64_t per_block = shape_.pages_per_block();
  const auto pages = table.pages.begin() + block * per_block;
  groups_[group].free.push_back(static_cast<int32_t>(*pages / per_block));
  std::fill(pages, pages + per_block, kNoPage);
  --table.held;
}

}  // namespace switchyard
