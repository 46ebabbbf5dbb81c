#include "runtime/step_rows.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/cache_groups.h"

namespace switchyard {
namespace {

class RowCollector {
 public:
  explicit RowCollector(const ModelConfig& config) : config_(config) {
    rows_.attention.page_tables.resize(cache_groups(config).size());
  }

  void add(const StepUnit& unit) {
    const int64_t first_row = rows_.count();
    for (const StepSequence& sequence : unit.sequences) add(sequence);
    rows_.capacity.push_back({first_row, rows_.count() - first_row, unit.capacity_positions});
  }

  StepRows take() {
    for (const StepSequence* sequence : sampled_) {
      rows_.samples.push_back(*sequence->sample);
      rows_.targets.push_back(0);
    }
    rows_.target_rows.insert(rows_.target_rows.end(), sampled_rows_.begin(), sampled_rows_.end());
    return std::move(rows_);
  }

 private:
  void add(const StepSequence& sequence);
  void add_pages(const StepSequence& sequence);
  int32_t rope_set(const StepSequence& sequence);

  const ModelConfig& config_;
  StepRows rows_;
  std::vector<RopeFrequencies> sets_;
  std::vector<const StepSequence*> sampled_;
  std::vector<int32_t> sampled_rows_;
};

void RowCollector::add(const StepSequence& sequence) {
  const int64_t first_row = rows_.count();
  const auto num_inputs = static_cast<int64_t>(sequence.input_ids.size());
  const int64_t end = sequence.first_position + num_inputs;
  SWITCHYARD_CHECK(end <= config_.max_positions && num_inputs > 0);
  const auto first_entry = static_cast<int64_t>(rows_.attention.page_tables.front().size());
  const auto add_run = [&](int64_t first, int64_t count) {
    if (count == 0) return;
    rows_.attention.sequences.push_back(
        {first_row + first, count, sequence.first_position + first, first_entry, end});
  };
  add_run(0, num_inputs);
  add_run(num_inputs, sequence.num_pads);
  add_pages(sequence);
  const bool is_rotary = config_.position_kind == PositionKind::kRotary;
  const int64_t offset = is_rotary ? 0 : config_.position_offset;
  if (is_rotary) {
    rows_.rope_sets.insert(rows_.rope_sets.end(), static_cast<size_t>(sequence.num_rows()),
                           rope_set(sequence));
  }
  for (int64_t i = 0; i < sequence.num_rows(); ++i) {
    const bool is_pad = i >= num_inputs;
    const int64_t position = sequence.first_position + i;
    rows_.ids.push_back(is_pad ? config_.pad_token : sequence.input_ids[static_cast<size_t>(i)]);
    // The row before position 0's belongs to padding.
    rows_.positions.push_back(static_cast<int32_t>(offset + (is_pad ? -1 : position)));
    rows_.router_mask.push_back(is_pad && config_.capacity.pads == PadRouting::kMasked ? 1 : 0);
    rows_.origins.push_back({sequence.sequence, position});
  }
  for (size_t i = 0; i < sequence.target_ids.size(); ++i) {
    rows_.targets.push_back(sequence.target_ids[i]);
    rows_.target_rows.push_back(
        static_cast<int32_t>(first_row + sequence.first_target_row + static_cast<int64_t>(i)));
  }
  if (sequence.sample) {
    sampled_.push_back(&sequence);
    sampled_rows_.push_back(static_cast<int32_t>(first_row + num_inputs - 1));
  }
  rows_.members.push_back(&sequence);
}

void RowCollector::add_pages(const StepSequence& sequence) {
  const int64_t count = pages_of(sequence.first_position + sequence.num_rows());
  std::vector<std::vector<int32_t>>& tables = rows_.attention.page_tables;
  if (sequence.pages.empty()) {
    // The layers take turns on the pages of the step: the same in every group.
    SWITCHYARD_CHECK(sequence.first_position == 0);
    const auto first = static_cast<int32_t>(tables.front().size());
    for (std::vector<int32_t>& table : tables) {
      for (int32_t page = 0; page < count; ++page) table.push_back(first + page);
    }
    return;
  }
  SWITCHYARD_CHECK(sequence.pages.size() == tables.size() && sequence.num_pads == 0);
  for (size_t group = 0; group < tables.size(); ++group) {
    const std::vector<int32_t>& pages = sequence.pages[group];
    SWITCHYARD_CHECK(static_cast<int64_t>(pages.size()) >= count, "a page table is too short");
    tables[group].insert(tables[group].end(), pages.begin(), pages.begin() + count);
  }
}

int32_t RowCollector::rope_set(const StepSequence& sequence) {
  const int64_t length = sequence.planned_length > 0
                             ? sequence.planned_length
                             : sequence.first_position + sequence.num_rows();
  if (!sets_.empty() && !config_.rope.depends_on_length()) return 0;
  const RopeFrequencies set = rope_frequencies(config_.rope, length);
  const auto found = std::ranges::find(sets_, set);
  if (found != sets_.end()) return static_cast<int32_t>(found - sets_.begin());
  rows_.rope_frequencies.insert(rows_.rope_frequencies.end(), set.frequencies.begin(),
                                set.frequencies.end());
  rows_.rope_scales.push_back(set.scale);
  sets_.push_back(set);
  return static_cast<int32_t>(sets_.size() - 1);
}

}  // namespace

StepRows collect_rows(const ModelConfig& config, const StepHeader& header,
                      const std::vector<int>& units) {
  RowCollector collector(config);
  for (const int index : units) collector.add(header.units[static_cast<size_t>(index)]);
  return collector.take();
}

}  // namespace switchyard
