// A model that is nothing but its cache: each token is a function of what the pages of its sequence
// hold.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "kernels/base/mix_bits.h"
#include "runtime/scheduler.h"
#include "runtime/step.h"

namespace switchyard {

/// Runs steps as an engine would. Rows are written to the pages that the step names and read back
/// from there, by every cache group through its window, so that a wrong, stale or shared page shows
/// in the tokens.
class FakeCachedModel {
 public:
  struct Shape {
    std::vector<int64_t> windows;      // by cache group
    std::vector<int64_t> cache_pages;  // by cache group, of each rank
    ScheduleLimits limits;
    int32_t vocab_size = 50;
    /// What the keys of sequences of a length have in common.
    std::function<int64_t(int64_t)> rotation = [](int64_t) { return 0; };
  };

  explicit FakeCachedModel(const Shape& shape)
      : shape_(shape), ranks_(static_cast<size_t>(shape.limits.num_ranks)) {
    for (auto& groups : ranks_) {
      for (const int64_t pages : shape.cache_pages) {
        groups.emplace_back(static_cast<size_t>(pages * kKeysPerPage));
      }
    }
  }

  std::vector<SequenceOutput> run(const StepHeader& header) {
    const StepPlan plan = plan_step(header, shape_.limits);
    std::vector<SequenceOutput> outputs;
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      int64_t rows = 0;
      for (const int index : plan.units_of_rank[rank]) {
        const StepUnit& unit = header.units.at(static_cast<size_t>(index));
        EXPECT_EQ(unit.rank, static_cast<int>(rank));
        for (const StepSequence& sequence : unit.sequences) {
          write(sequence, rank);
          rows += sequence.num_rows();
        }
      }
      EXPECT_LE(rows, shape_.limits.max_rows);
      for (const int index : plan.units_of_rank[rank]) {
        for (const StepSequence& sequence : header.units[static_cast<size_t>(index)].sequences) {
          outputs.push_back(read(sequence, rank, header.eos_ids));
        }
      }
      most_rows_ = std::max(most_rows_, rows);
    }
    ++steps_;
    return outputs;
  }

  int64_t steps() const { return steps_; }
  int64_t most_rows() const { return most_rows_; }

  /// The token after `ids`, by what each window of them shows.
  static int32_t next_token(const std::vector<int32_t>& ids, const std::vector<int64_t>& windows,
                            const SampleSettings& settings, const std::vector<int32_t>& eos_ids,
                            int32_t vocab_size) {
    uint64_t hash = 0;
    for (const int64_t window : windows) {
      const auto length = static_cast<int64_t>(ids.size());
      for (int64_t i = window == 0 ? 0 : std::max<int64_t>(0, length - window); i < length; ++i) {
        hash = mix_bits(hash ^ static_cast<uint64_t>(ids[static_cast<size_t>(i)]));
      }
    }
    if (settings.temperature > 0) hash ^= static_cast<uint64_t>(settings.uniform * 0x1p24f);
    auto token = static_cast<int32_t>(hash % static_cast<uint64_t>(vocab_size));
    const auto is_banned = [&] {
      return settings.is_eos_banned &&
             std::find(eos_ids.begin(), eos_ids.end(), token) != eos_ids.end();
    };
    while (is_banned()) token = (token + 1) % vocab_size;
    return token;
  }

  /// The log-prob that comes with a token.
  static float logprob_of(int32_t token) { return -0.25f * static_cast<float>(token); }

 private:
  struct Cell {
    int64_t sequence = -1;
    int64_t position = -1;
    int32_t token = -1;
    int64_t rotation = -1;
  };

  Cell& cell(const StepSequence& sequence, size_t rank, size_t group, int64_t position) {
    const int32_t page = sequence.pages.at(group).at(static_cast<size_t>(position / kKeysPerPage));
    return ranks_[rank][group].at(
        static_cast<size_t>(page * kKeysPerPage + position % kKeysPerPage));
  }

  void write(const StepSequence& sequence, size_t rank) {
    int64_t& expected = next_position_[sequence.sequence];
    const int64_t rotation = shape_.rotation(sequence.planned_length);
    const auto last = rotation_.insert_or_assign(sequence.sequence, rotation);
    if (!last.second && sequence.first_position == 0) expected = 0;
    EXPECT_EQ(sequence.first_position, expected) << "a row was left out or ran twice";
    ASSERT_EQ(sequence.pages.size(), shape_.windows.size());
    for (size_t i = 0; i < sequence.input_ids.size(); ++i, ++expected) {
      for (size_t group = 0; group < shape_.windows.size(); ++group) {
        cell(sequence, rank, group, expected) = {sequence.sequence, expected, sequence.input_ids[i],
                                                 rotation};
      }
    }
    for (const std::vector<int32_t>& pages : sequence.pages) {
      EXPECT_EQ(static_cast<int64_t>(pages.size()), pages_of(expected));
    }
    EXPECT_LE(expected, sequence.planned_length);
  }

  SequenceOutput read(const StepSequence& sequence, size_t rank,
                      const std::vector<int32_t>& eos_ids) {
    const int64_t length = sequence.first_position + sequence.num_rows();
    std::vector<int32_t> ids(static_cast<size_t>(length), -1);
    for (size_t group = 0; group < shape_.windows.size(); ++group) {
      const int64_t window = shape_.windows[group];
      // What the first row of the step sees too.
      const int64_t first =
          window == 0 ? 0 : std::max<int64_t>(0, sequence.first_position - window + 1);
      for (int64_t position = first; position < length; ++position) {
        const Cell& found = cell(sequence, rank, group, position);
        EXPECT_EQ(found.sequence, sequence.sequence) << "another sequence's page";
        EXPECT_EQ(found.position, position);
        EXPECT_EQ(found.rotation, rotation_[sequence.sequence]);
        ids[static_cast<size_t>(position)] = found.token;
      }
    }
    SequenceOutput output;
    output.sequence = sequence.sequence;
    if (!sequence.sample) return output;
    ids[0] += static_cast<int32_t>(rotation_[sequence.sequence]);
    output.token = next_token(ids, shape_.windows, *sequence.sample, eos_ids, shape_.vocab_size);
    output.token_logprob = logprob_of(output.token);
    return output;
  }

  Shape shape_;
  std::vector<std::vector<std::vector<Cell>>> ranks_;  // by rank and group
  std::map<int64_t, int64_t> next_position_;
  std::map<int64_t, int64_t> rotation_;
  int64_t steps_ = 0;
  int64_t most_rows_ = 0;
};

}  // namespace switchyard
