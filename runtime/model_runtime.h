// One rank's running model: everything between an opened checkpoint and the engine.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/control_channel.h"
#include "parallel/exchange_choice.h"
#include "parallel/padded_exchange.h"
#include "parallel/topology.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/engine.h"
#include "runtime/expert_cache.h"
#include "runtime/memory_plan.h"
#include "runtime/model_weights.h"
#include "runtime/moe_layer.h"
#include "runtime/placement_file.h"
#include "runtime/run_stats.h"
#include "runtime/runtime_settings.h"
#include "runtime/transformer.h"

namespace switchyard {

/// Plans, checks, allocates and loads; then steps run through transformer(). The parts refer to
/// each other, so the object stays where it is.
class ModelRuntime {
 public:
  /// Collective. Throws AgreedError when the settings or the memory of a node do not suffice,
  /// before anything is allocated. All references must outlive the object.
  ModelRuntime(const Checkpoint& checkpoint, TensorSources& sources,
               const RuntimeSettings& settings, Backend& backend, Communicator& world,
               ControlChannel& control);
  ModelRuntime(const ModelRuntime&) = delete;
  ModelRuntime& operator=(const ModelRuntime&) = delete;
  ~ModelRuntime();

  Transformer& transformer() { return *transformer_; }
  PhaseClock& clock() { return clock_; }
  const ScheduleLimits& schedule_limits() const { return schedule_limits_; }

  /// Bytes of tensors that this rank has read from files so far, headers not counted.
  int64_t tensor_bytes_read() const { return dense_bytes_read_ + cache_->stats().files.bytes; }

  /// This rank's account, the engine's rows included.
  RankStats stats(const Engine& engine) const;

 private:
  /// Decides how many experts have slots, and with it the buffers that paging needs.
  MemoryTables plan_tables(const RuntimeSettings& settings, const Topology& topology);
  /// The tables for as many rows a step as hide a sweep's loading. Collective.
  MemoryTables grow_batch(RuntimeSettings settings, const Topology& topology,
                          TensorSources& sources, const MemoryTables& tables);
  /// What MoE layers need, if the model has some. Collective.
  void make_moe(const RuntimeSettings& settings, const NodeMap& nodes, bool is_padded);
  /// Connects the ranks and shows what their exchanges take. Collective.
  void warm_up_exchanges();
  void load(const MemoryTables& tables, const RuntimeSettings& settings, const Topology& topology,
            TensorSources& sources);

  const Checkpoint& checkpoint_;
  Backend& backend_;
  ControlChannel& control_;
  std::unique_ptr<Communicator> experts_;  // the expert-parallel group, never the world itself
  Stream compute_;
  Stream exchange_;
  PhaseClock clock_;
  std::vector<LayerPlacement> placements_;
  WorkspaceLimits limits_;
  ScheduleLimits schedule_limits_;
  int64_t max_batch_tokens_;  // rows of a step: the settings', or more where that hides loading
  std::unique_ptr<ModelWeights> weights_;
  std::unique_ptr<ExpertCache> cache_;
  std::unique_ptr<Workspace> workspace_;
  std::unique_ptr<RowExchange> dispatcher_;
  GraphRecorder recorder_;
  std::unique_ptr<PaddedExchange> padded_;  // null: no step is padded
  std::unique_ptr<MoeLayer> moe_;
  std::unique_ptr<StepGraphs> graphs_;  // null: no step is recorded
  std::unique_ptr<Transformer> transformer_;
  int64_t planned_bytes_ = 0;
  int64_t weight_bytes_ = 0;
  int64_t dense_bytes_read_ = 0;
};

}  // namespace switchyard
