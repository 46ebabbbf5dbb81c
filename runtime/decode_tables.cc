#include "runtime/decode_tables.h"

#include <algorithm>

namespace switchyard {
namespace {

bool is_one_kept_row(const StepSequence* member) {
  return member->num_rows() == 1 && !member->pages.empty();
}

int64_t in_steps(int64_t pages) {
  return (pages + DecodeTables::kPageStep - 1) / DecodeTables::kPageStep * DecodeTables::kPageStep;
}

}  // namespace

int64_t DecodeTables::entries_needed(int64_t num_rows, int64_t max_positions) {
  return std::min(kMostEntries, num_rows * in_steps(pages_of(max_positions)));
}

int64_t DecodeTables::upload(StepRows& rows, Backend& backend, Stream& stream) {
  const int64_t count = rows.count();
  const TensorView& pages = workspace_.view(BufferId::kDecodePages);  // [groups, entries]
  if (!std::ranges::all_of(rows.members, is_one_kept_row)) return -1;
  if (count > workspace_.view(BufferId::kDecodePositions).shape[0]) return -1;
  positions_.clear();
  int64_t longest = 0;
  for (const StepSequence* member : rows.members) {
    positions_.push_back(static_cast<int32_t>(member->first_position));
    longest = std::max(longest, member->first_position + 1);
  }
  const int64_t width = in_steps(pages_of(longest));
  if (count * width > pages.shape[1]) return -1;
  if (count == 0) return 0;
  const TensorView positions = workspace_.rows(BufferId::kDecodePositions, count);
  backend.copy_to_device(stream, positions_.data(), positions);
  of_groups_.assign(static_cast<size_t>(pages.shape[0]), {});
  for (size_t group = 0; group < of_groups_.size(); ++group) {
    std::vector<int32_t>& table = of_groups_[group];
    for (const StepSequence* member : rows.members) {
      const auto used = static_cast<std::ptrdiff_t>(pages_of(member->first_position + 1));
      const std::vector<int32_t>& of_member = member->pages[group];
      table.insert(table.end(), of_member.begin(), of_member.begin() + used);
      table.resize(table.size() + static_cast<size_t>(width - used), -1);
    }
    TensorView view = pages.rows(static_cast<int64_t>(group), 1);
    view.shape = {count, width};
    backend.copy_to_device(stream, table.data(), view);
    rows.attention.decode.push_back({positions, view});
  }
  return width;
}

}  // namespace switchyard
