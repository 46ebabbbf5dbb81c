#include "runtime/model_runtime.h"

#include <algorithm>
#include <chrono>

#include "kernels/base/byte_size.h"
#include "kernels/base/log.h"
#include "kernels/base/text_table.h"
#include "runtime/host_memory.h"
#include "runtime/memory_check.h"
#include "runtime/reading_turns.h"
#include "runtime/weight_loader.h"

namespace switchyard {
ModelRuntime::ModelRuntime(const Checkpoint& checkpoint, TensorSource& source,
                           const RuntimeSettings& settings, Backend& backend, Communicator& world,
                           ControlChannel& control)
    : checkpoint_(checkpoint),
      backend_(backend),
      control_(control),
      experts_(world.split(0, world.rank())),
      compute_(backend.make_stream(StreamKind::kCompute)),
      exchange_(backend.make_stream(StreamKind::kExchange)),
      clock_(backend, compute_) {
  const ModelConfig& config = checkpoint.config;
  control_.agree(
      [&] {
        placements_ = make_placements(settings.placement, config, world.size());
        limits_ = workspace_limits(config, settings, world.size());
      },
      {.phase = "set-up"});
  schedule_limits_ =
      ScheduleLimits::make(world.size(), std::min(settings.max_batch_tokens, limits_.max_rows),
                           limits_.max_pages, config.hidden_size);
  const MemoryTables tables =
      memory_tables(checkpoint, placements_, control.rank(), limits_, backend);
  const Topology topology = discover_topology(control);
  planned_bytes_ = resident_bytes() +
                   check_memory(checkpoint, settings, tables, limits_, topology, backend, control);
  load(tables, settings, topology, source);
  workspace_ = std::make_unique<Workspace>(tables.workspace, backend_);
  if (config.num_moe_layers() > 0) {
    dispatcher_ = std::make_unique<TokenDispatcher>(
        backend_, *experts_, compute_, exchange_,
        DispatcherSizes{config.hidden_size, limits_.exchange_rows});
    moe_ = std::make_unique<MoeLayer>(MoeLayerParts{config, placements_, *cache_, *dispatcher_,
                                                    *workspace_, backend_, compute_, clock_,
                                                    settings.capacity_fraction, settings.observer});
  }
  transformer_ = std::make_unique<Transformer>(
      TransformerParts{config, *weights_, *workspace_, limits_.cache_pages, moe_.get(), backend_,
                       compute_, clock_, settings.observer});
}

ModelRuntime::~ModelRuntime() {
  // Work may still be queued when an error unwinds: it must end before the buffers that it uses.
  // The compute stream first, for the exchange stream waits for it.
  compute_ = Stream();
  exchange_ = Stream();
}

void ModelRuntime::load(const MemoryTables& tables, const RuntimeSettings& settings,
                        const Topology& topology, TensorSource& source) {
  const auto begin = std::chrono::steady_clock::now();
  const ModelConfig& config = checkpoint_.config;
  weights_ = std::make_unique<ModelWeights>(config, tables.dense, backend_);
  cache_ = std::make_unique<ExpertCache>(tables.experts, backend_);
  if (config.position_kind == PositionKind::kSinusoidal) {
    backend_.sinusoidal_positions(compute_, {weights_->positions(), config.position_offset - 1});
  }
  const ReadingTurns turns = agree_on_turns(settings.load_readers_per_node, topology, control_);
  WeightLoader loader(checkpoint_, source, backend_, *experts_, compute_, exchange_,
                      turns.dense_readers, settings.progress);
  loader.load_dense(tables.dense, *weights_);
  for (int64_t turn = 0; turn < turns.num_turns; ++turn) {
    if (turn == turns.my_turn) loader.load_experts(placements_, *cache_);
    // The others may have much less to read.
    control_.barrier({.phase = "turns of loading", .patience = Patience::kForever});
  }
  bytes_read_ = checkpoint_.header_bytes_read + source.bytes_read();
  weight_bytes_ = dense_bytes(config, tables.dense) + cache_->bytes();
  const int64_t all_bytes = control_.all_sum(bytes_read_, {.phase = "end of loading"});
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (control_.rank() == 0) {
    log_info("loaded ", format_byte_size(all_bytes), " in ", format_fixed(seconds, 2), " s (",
             format_fixed(static_cast<double>(all_bytes) / seconds / 1e9, 2), " GB/s)");
  }
}

RankStats ModelRuntime::stats(const Engine& engine) const {
  RankStats stats;
  for (const ExpertLayer& layer : cache_->layers()) stats.num_experts += layer.num_local_experts();
  stats.weight_bytes = weight_bytes_;
  stats.bytes_read = bytes_read_;
  stats.rows = engine.rows();
  stats.scheduled_idle = engine.mean_idle();
  stats.planned_bytes = planned_bytes_;
  stats.peak_bytes = peak_resident_bytes();
  if (moe_ != nullptr) {
    stats.rounds = moe_->rounds();
    stats.expert_rows = moe_->rows_computed();
    for (const RoutingCounts& counts : moe_->routing_counts()) {
      stats.choices.push_back(counts.choices);
      stats.dropped.push_back(counts.dropped);
    }
  }
  for (size_t phase = 0; phase < static_cast<size_t>(Phase::kCount); ++phase) {
    stats.seconds.push_back(clock_.seconds(static_cast<Phase>(phase)));
  }
  return stats;
}

}  // namespace switchyard
