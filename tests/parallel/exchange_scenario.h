// A step's rows and choices that every rank can compute about every other, for tests of exchanges.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <set>
#include <vector>

#include "parallel/expert_placement.h"

namespace switchyard {

/// Numbers of a row.
inline constexpr int64_t kWidth = 3;

enum class Routing { kUniform, kAllToOne, kNoRows };

/// The rows of a step from ids alone, with "experts" whose outputs tell who computed what.
struct Scenario {
  int num_ranks;
  int64_t num_experts;
  int64_t max_rows;  // of a round
  Routing routing;
  uint64_t seed;
  std::vector<int> nodes = {};  // of the ranks; empty: the direct exchange
  int64_t top_k = 2;
  bool has_drops = false;
  bool is_scattered = false;  // experts stand anywhere, some twice

  LayerPlacement placement() const {
    if (!is_scattered) return contiguous_placement(num_experts, num_ranks);
    std::mt19937_64 random(seed);
    std::vector<std::vector<int>> ranks;
    for (int64_t expert = 0; expert < num_experts; ++expert) {
      std::set<int> of_expert;
      for (int copy = 0; copy < 2; ++copy) {
        of_expert.insert(static_cast<int>(random() % static_cast<uint64_t>(num_ranks)));
      }
      ranks.emplace_back(of_expert.begin(), of_expert.end());
    }
    return {ranks, num_ranks};
  }
  bool is_dropped(int rank, int64_t token, int64_t k) const {
    return has_drops && (rank + token * 3 + k) % 5 == 0;
  }
  int64_t instance(const LayerPlacement& placement, int rank, int64_t token, int64_t k) const {
    if (is_dropped(rank, token, k)) return -1;
    return placement.instance_for(expert(rank, token, k), rank, token, k);
  }
  int64_t num_tokens(int rank) const {
    if (routing == Routing::kNoRows || rank % 3 == 1) return 0;
    return 1 + static_cast<int64_t>((seed + static_cast<uint64_t>(rank) * 7) % 13);
  }
  int64_t expert(int rank, int64_t token, int64_t k) const {
    if (routing == Routing::kAllToOne) return k % num_experts;
    std::mt19937_64 random(seed * 1000003 + static_cast<uint64_t>(rank * 101 + token * 7 + k));
    return static_cast<int64_t>(random() % static_cast<uint64_t>(num_experts));
  }
  float value(int rank, int64_t token, int64_t column) const {
    return static_cast<float>(rank * 1000 + token * 10 + column);
  }
  /// What expert e makes of a value.
  static float output(int64_t expert, float value) {
    return value + static_cast<float>(expert + 1) * 100000.0f;
  }

  /// A rank's rows, and its choices: experts, -1 where dropped.
  std::vector<float> values_of(int rank) const {
    std::vector<float> values;
    for (int64_t token = 0; token < num_tokens(rank); ++token) {
      for (int64_t column = 0; column < kWidth; ++column) {
        values.push_back(value(rank, token, column));
      }
    }
    return values;
  }
  std::vector<int32_t> experts_of(int rank) const {
    std::vector<int32_t> experts;
    for (int64_t token = 0; token < num_tokens(rank); ++token) {
      for (int64_t k = 0; k < top_k; ++k) {
        experts.push_back(
            is_dropped(rank, token, k) ? -1 : static_cast<int32_t>(expert(rank, token, k)));
      }
    }
    return experts;
  }

  /// Fails unless a rank's rows `got` [T * k, kWidth] came back from their experts.
  void check_returned(int rank, const std::vector<float>& got) const {
    size_t next = 0;
    for (int64_t token = 0; token < num_tokens(rank); ++token) {
      for (int64_t k = 0; k < top_k; ++k) {
        for (int64_t column = 0; column < kWidth; ++column, ++next) {
          if (is_dropped(rank, token, k)) continue;
          ASSERT_EQ(got[next], output(expert(rank, token, k), value(rank, token, column)))
              << "rank " << rank << ", token " << token << ", choice " << k;
        }
      }
    }
  }
};

}  // namespace switchyard
