// One rank's rows of a step, gathered from its sequences. Host memory that the streams copy from.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/attention_layer.h"
#include "runtime/model_config.h"
#include "runtime/moe_layer.h"
#include "runtime/step.h"

namespace switchyard {

struct StepRows {
  std::vector<const StepSequence*> members;  // in the order of their rows
  std::vector<int32_t> ids;
  std::vector<int32_t> positions;  // rows of the position table, or rotary positions
  std::vector<RowOrigin> origins;
  AttentionRows attention;
  std::vector<int32_t> router_mask;  // 1: padding that the model's routers leave out
  std::vector<CapacityRows> capacity;
  // Rotary positions: each row's set, and the sets.
  std::vector<int32_t> rope_sets;
  std::vector<float> rope_frequencies;  // [sets, rotary_dim / 2]
  std::vector<float> rope_scales;       // [sets]
  // Rows that want logits: those of the targets in the order of the members, then those that give
  // a token.
  std::vector<int32_t> targets;      // of tokens to come: 0
  std::vector<int32_t> target_rows;  // these rows
  std::vector<SampleSettings> samples;

  int64_t count() const { return static_cast<int64_t>(ids.size()); }
  int64_t num_targets() const { return static_cast<int64_t>(targets.size()); }
  int64_t num_scored() const { return num_targets() - static_cast<int64_t>(samples.size()); }
};

/// The rows of units `units` of a step. `header` must outlive them.
StepRows collect_rows(const ModelConfig& config, const StepHeader& header,
                      const std::vector<int>& units);

}  // namespace switchyard
