#include "runtime/model_runtime.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "kernels/base/byte_size.h"
#include "kernels/base/log.h"
#include "kernels/base/text_table.h"
#include "parallel/warm_up.h"
#include "runtime/batch_choice.h"
#include "runtime/host_memory.h"
#include "runtime/memory_check.h"
#include "runtime/memory_ledger.h"
#include "runtime/padding_choice.h"
#include "runtime/reading_turns.h"
#include "runtime/weight_loader.h"

namespace switchyard {
namespace {

/// Rows up to which a step's experts of the next layer are predicted: those of decoding. With more,
/// most experts are needed anyway.
constexpr int64_t kForecastRows = 64;

/// Uses of this rank's experts, by MoE layer and local number; empty if `uses` is.
std::vector<std::vector<int64_t>> local_uses(const std::vector<std::vector<int64_t>>& uses,
                                             const std::vector<ExpertLayer>& layers) {
  std::vector<std::vector<int64_t>> local;
  if (uses.empty()) return local;
  for (size_t layer = 0; layer < layers.size(); ++layer) {
    std::vector<int64_t>& of_layer = local.emplace_back();
    for (const int64_t id : layers[layer].ids) {
      of_layer.push_back(uses.at(layer).at(static_cast<size_t>(id)));
    }
  }
  return local;
}

}  // namespace

ModelRuntime::ModelRuntime(const Checkpoint& checkpoint, TensorSources& sources,
                           const RuntimeSettings& wanted, Backend& backend, Communicator& world,
                           ControlChannel& control)
    : checkpoint_(checkpoint),
      backend_(backend),
      control_(control),
      experts_(world.split(0, world.rank())),
      compute_(backend.make_stream(StreamKind::kCompute)),
      exchange_(backend.make_stream(StreamKind::kExchange)),
      clock_(backend, compute_, wanted.trace),
      max_batch_tokens_(wanted.max_batch_tokens),
      recorder_(backend, compute_) {
  const ModelConfig& config = checkpoint.config;
  const Topology topology = discover_topology(control);
  const NodeMap nodes = discover_nodes(control, topology, wanted.exchange);
  RuntimeSettings settings = wanted;
  settings.exchange.kind = choose_exchange(wanted.exchange.kind, nodes);
  control_.agree(
      [&] {
        placements_ = make_placements(settings.placement, config, world.size());
        limits_ = workspace_limits(config, settings, world.size());
      },
      {.phase = "set-up"});
  MemoryTables tables = plan_tables(settings, topology);
  if (settings.batch_tokens == BatchTokens::kMayGrow) {
    tables = grow_batch(settings, topology, sources, tables);
  }
  const bool is_padded = choose_padding(
      settings, {placements_, tables.experts, tables.cache.is_resident()}, backend, control);
  schedule_limits_ =
      ScheduleLimits::make(world.size(), std::min(max_batch_tokens_, limits_.max_rows),
                           limits_.max_pages, config.hidden_size);
  const MemoryPlan plan =
      check_memory(checkpoint, settings, tables, limits_, topology, backend, control);
  planned_bytes_ = resident_bytes() + plan.total();
  const MemoryLedger ledger(compute_bytes(plan, backend), backend);
  load(tables, settings, topology, sources);
  workspace_ = std::make_unique<Workspace>(tables.workspace, backend_);
  backend_.reserve_scratch(compute_, work_sizes(config, tables, limits_));
  if (config.num_moe_layers() > 0) make_moe(settings, nodes, is_padded);
  if (limits_.has_graphs) {
    graphs_ = std::make_unique<StepGraphs>(recorder_, backend_, compute_, clock_);
    if (moe_ != nullptr && padded_ == nullptr && control_.rank() == 0) {
      log_info("decode steps are not recorded: the host counts their rows (--exchange-layout)");
    }
  }
  transformer_ = std::make_unique<Transformer>(
      TransformerParts{config, *weights_, *workspace_, limits_.cache_pages, moe_.get(), backend_,
                       compute_, clock_, graphs_.get(), settings.observer});
  // Work that is under way allocates too.
  backend_.record(compute_).synchronize();
  ledger.check(topology, control_);
}

ModelRuntime::~ModelRuntime() {
  // Work may still be queued when an error unwinds: it must end before the buffers that it uses.
  // The compute stream first, for the exchange stream waits for it.
  compute_ = Stream();
  exchange_ = Stream();
}

void ModelRuntime::make_moe(const RuntimeSettings& settings, const NodeMap& nodes, bool is_padded) {
  const ModelConfig& config = checkpoint_.config;
  dispatcher_ = make_exchange(settings.exchange.kind, nodes,
                              {backend_, *experts_, compute_, exchange_,
                               DispatcherSizes{config.hidden_size, limits_.exchange_rows}});
  warm_up_exchanges();
  const std::optional<PaddedBuffers> buffers = dispatcher_->padded_buffers();
  if (is_padded && buffers) {
    padded_ = std::make_unique<PaddedExchange>(backend_, *experts_, compute_, exchange_, recorder_,
                                               *buffers, placements_);
  }
  moe_ = std::make_unique<MoeLayer>(
      MoeLayerParts{config, placements_, *cache_, *dispatcher_, padded_.get(),
                    settings.exchange.layout, *workspace_, backend_, compute_, clock_,
                    settings.capacity_fraction, limits_.forecast_rows, settings.observer});
}

void ModelRuntime::warm_up_exchanges() {
  if (control_.size() == 1) return;
  int64_t num_counts = 0;
  for (const LayerPlacement& placement : placements_) {
    num_counts = std::max<int64_t>(num_counts, placement.num_instances());
  }
  // A layer's counts travel with the forecast of the next.
  warm_up(control_, dispatcher_->warm_up_phases(2 * num_counts));
  const int64_t staged = experts_->staging_bytes();
  if (control_.rank() == 0 && staged > 0) {
    log_info("rows of rank 0 travel through ", format_byte_size(staged), " of host memory");
  }
}

MemoryTables ModelRuntime::plan_tables(const RuntimeSettings& settings, const Topology& topology) {
  const ModelConfig& config = checkpoint_.config;
  MemoryTables tables = memory_tables(checkpoint_, placements_, control_.rank(), limits_, backend_);
  const MemoryPlan plan = plan_memory(config, tables, limits_, backend_);
  const int64_t expert_bytes = tables.cache.device_bytes;
  const int64_t share = share_for_experts(compute_bytes(plan, backend_) - expert_bytes,
                                          expert_bytes, topology, backend_, control_);
  control_.agree(
      [&] { tables.cache = plan_cache(tables.experts, settings.tiers, share, backend_); },
      {.phase = "expert budgets"});
  const bool is_paged_somewhere =
      control_.all_max(tables.cache.is_resident() ? 0 : 1, {.phase = "expert budgets"}) > 0;
  if (is_paged_somewhere && settings.tiers.prefetch != Prefetch::kOff) {
    limits_.forecast_rows = std::min(limits_.max_rows, kForecastRows);
    tables.workspace = workspace_table(config, limits_, backend_);
  }
  if (control_.rank() == 0 && !tables.cache.is_resident()) {
    log_info(
        "experts of rank 0: slots for ", tables.cache.num_slots, " of ", tables.cache.num_experts,
        " (", format_byte_size(tables.cache.device_bytes), "); the others come from ",
        tables.cache.host_slots > 0 ? "host memory and files" : "files", " when they are needed");
  }
  return tables;
}

MemoryTables ModelRuntime::grow_batch(RuntimeSettings settings, const Topology& topology,
                                      TensorSources& sources, const MemoryTables& tables) {
  constexpr CollectiveLabel kLabel{.phase = "choice of the batch", .patience = Patience::kForever};
  const int64_t paged = tables.cache.num_experts - tables.cache.num_slots;
  if (control_.all_max(paged, kLabel) == 0) return tables;
  SweepCosts costs;
  control_.agree(
      [&] {
        if (paged == 0) return;
        const double part =
            static_cast<double>(paged) / static_cast<double>(tables.cache.num_experts);
        costs.load_bytes = static_cast<int64_t>(
            part * static_cast<double>(resident_expert_bytes(tables.experts, backend_)));
        costs.load_rate = measure_load_rate(checkpoint_, tables.experts, tables.cache.load_threads,
                                            sources, backend_, compute_);
        costs.operation_rate = measure_operation_rate(backend_, compute_);
        costs.operations_a_token = operations_per_token(checkpoint_.config);
      },
      kLabel);
  TokenLimits limits;
  limits.in_input = settings.total_rows < 0
                        ? kDefaultBatchTokens
                        : (settings.total_rows + control_.size() - 1) / control_.size();
  const int64_t wanted = paged == 0 ? 0 : costs.balanced_tokens();
  limits.fit_in_memory =
      most_tokens_in_memory(checkpoint_, settings, tables, wanted, topology, backend_, control_);
  TokenChoice choice;
  if (paged > 0) choice = choose_tokens(costs, limits);
  // The rank with the longest sweep decides; where memory ends it does for all.
  const int64_t most = control_.all_max(choice.tokens, kLabel);
  settings.max_batch_tokens =
      std::max(kDefaultBatchTokens,
               std::min({most, -control_.all_max(-limits.fit_in_memory, kLabel), limits.in_input}));
  if (control_.rank() == 0) {
    log_info("--max-batch-tokens auto: ", settings.max_batch_tokens,
             choice.reason.empty() ? "" : ": ", choice.reason);
  }
  max_batch_tokens_ = settings.max_batch_tokens;
  limits_ = workspace_limits(checkpoint_.config, settings, control_.size());
  return plan_tables(settings, topology);
}

void ModelRuntime::load(const MemoryTables& tables, const RuntimeSettings& settings,
                        const Topology& topology, TensorSources& sources) {
  const auto begin = std::chrono::steady_clock::now();
  const ModelConfig& config = checkpoint_.config;
  weights_ = std::make_unique<ModelWeights>(config, tables.dense, backend_);
  // What is read once may stay in the system's cache for the next run; what is read again and
  // again, because it does not fit, would only push out what does.
  const FileCaching caching =
      tables.cache.is_resident() ? FileCaching::kPageCache : FileCaching::kDirect;
  cache_ = std::make_unique<ExpertCache>(
      ExpertCacheParts{checkpoint_, tables.experts, tables.cache, settings.tiers,
                       local_uses(settings.expert_uses, tables.experts), sources, backend_,
                       compute_, caching, settings.trace});
  const std::unique_ptr<TensorSource> source = sources.open(FileCaching::kPageCache);
  if (config.position_kind == PositionKind::kSinusoidal) {
    backend_.sinusoidal_positions(compute_, {weights_->positions(), config.position_offset - 1});
  }
  const ReadingTurns turns = agree_on_turns(settings.load_readers_per_node, topology, control_);
  WeightLoader loader(checkpoint_, *source, backend_, *experts_, compute_, exchange_,
                      turns.dense_readers, settings.progress);
  loader.load_dense(tables.dense, *weights_);
  for (int64_t turn = 0; turn < turns.num_turns; ++turn) {
    if (turn == turns.my_turn) cache_->fill(settings.progress);
    // The others may have much less to read.
    control_.barrier({.phase = "turns of loading", .patience = Patience::kForever});
  }
  dense_bytes_read_ = source->bytes_read();
  weight_bytes_ = dense_bytes(config, tables.dense) + tables.cache.device_bytes;
  const int64_t all_bytes = control_.all_sum(checkpoint_.header_bytes_read + tensor_bytes_read(),
                                             {.phase = "end of loading"});
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
  stats.bytes_read = checkpoint_.header_bytes_read + tensor_bytes_read();
  stats.rows = engine.rows();
  stats.scheduled_idle = engine.mean_idle();
  stats.planned_bytes = planned_bytes_;
  stats.peak_bytes = peak_resident_bytes();
  stats.cache = cache_->stats();
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
