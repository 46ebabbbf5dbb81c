#include "runtime/model_runtime.h"

#include <algorithm>
#include <chrono>
#include <limits>

#include "kernels/base/byte_codec.h"
#include "kernels/base/byte_size.h"
#include "kernels/base/log.h"
#include "kernels/base/text_table.h"
#include "parallel/topology.h"
#include "runtime/placement_file.h"
#include "runtime/weight_loader.h"

namespace switchyard {
namespace {

/// Key/value pages for `rows` rows of a step. A sequence's last page is partly empty; four times
/// the full pages let sequences of 16 rows fill a step.
int64_t page_budget(int64_t rows) { return 4 * pages_of(rows); }

/// What this rank's node needs and has.
struct NodeMemory {
  int64_t needed = 0;
  int64_t free = 0;
  int local_ranks = 0;
};

NodeMemory node_memory(int64_t needed, const Topology& topology, ControlChannel& control) {
  ByteWriter writer;
  writer.put(topology.node);
  writer.put(needed);
  writer.put(free_host_memory());
  NodeMemory memory{0, std::numeric_limits<int64_t>::max(), 0};
  for (const std::string& bytes : control.all_gather(writer.bytes(), {.phase = "memory plan"})) {
    ByteReader reader(bytes);
    if (reader.get<int>() != topology.node) continue;
    memory.needed += reader.get<int64_t>();
    memory.free = std::min(memory.free, reader.get<int64_t>());
    ++memory.local_ranks;
  }
  return memory;
}

}  // namespace

WorkspaceLimits workspace_limits(const ModelConfig& config, const RuntimeSettings& settings,
                                 int num_ranks) {
  WorkspaceLimits limits;
  const int64_t batch = settings.total_rows < 0
                            ? settings.max_batch_tokens
                            : std::min(settings.max_batch_tokens, settings.total_rows);
  limits.max_rows = std::max({batch, settings.longest_sequence, int64_t{1}});
  limits.max_pages = std::max(page_budget(batch), pages_of(limits.max_rows));
  limits.top_logprobs = settings.top_logprobs;
  constexpr int64_t kMaxCopies = std::numeric_limits<int32_t>::max();
  if (limits.max_rows * std::max(config.router.top_k, int64_t{1}) > kMaxCopies) {
    fail_usage("--max-batch-tokens: ", limits.max_rows, " rows of ", config.router.top_k,
               " experts are more than ", kMaxCopies, "; give fewer tokens");
  }
  if (config.num_moe_layers() == 0) return limits;
  const int64_t row_bytes = TokenDispatcher::bytes_per_row(config.hidden_size);
  if (settings.exchange_buffer_bytes < row_bytes) {
    fail_usage("--exchange-buffer: ", settings.exchange_buffer_bytes,
               " bytes do not hold one row of width ", config.hidden_size, "; give at least ",
               row_bytes, " bytes");
  }
  limits.exchange_rows = std::min({settings.exchange_buffer_bytes / row_bytes,
                                   limits.max_rows * config.router.top_k * num_ranks, kMaxCopies});
  return limits;
}

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
  const MemoryTables tables = plan_tables();
  check_memory(tables);
  load(tables, source);
  workspace_ = std::make_unique<Workspace>(tables.workspace, backend_);
  if (config.num_moe_layers() > 0) {
    dispatcher_ = std::make_unique<TokenDispatcher>(
        backend_, *experts_, compute_, exchange_,
        DispatcherSizes{config.hidden_size, limits_.exchange_rows});
    moe_ = std::make_unique<MoeLayer>(MoeLayerParts{config, placements_, *cache_, *dispatcher_,
                                                    *workspace_, backend_, compute_, clock_});
  }
  transformer_ = std::make_unique<Transformer>(
      TransformerParts{config, *weights_, *workspace_, moe_.get(), backend_, compute_, clock_});
}

ModelRuntime::~ModelRuntime() {
  // Work may still be queued when an error unwinds: it must end before the buffers that it uses.
  // The compute stream first, for the exchange stream waits for it.
  compute_ = Stream();
  exchange_ = Stream();
}

MemoryTables ModelRuntime::plan_tables() const {
  const ModelConfig& config = checkpoint_.config;
  return {dense_table(config, checkpoint_.index, backend_),
          expert_layers(checkpoint_, placements_, control_.rank()),
          workspace_table(config, limits_, backend_)};
}

void ModelRuntime::check_memory(const MemoryTables& tables) {
  const ModelConfig& config = checkpoint_.config;
  const MemoryPlan plan = plan_memory(config, tables, limits_, backend_);
  const Topology topology = discover_topology(control_);
  const NodeMemory node = node_memory(plan.total(), topology, control_);
  if (control_.rank() == 0) {
    log_info("memory of rank 0: ", plan.text());
    log_info("memory of its node: ", node.local_ranks, " ranks need ",
             format_byte_size(node.needed), " of ", format_byte_size(node.free), " free");
  }
  control_.agree(
      [&] {
        if (node.needed <= node.free) return;
        const int64_t weights = plan.of(MemoryCategory::kDense) + plan.of(MemoryCategory::kExperts);
        fail_resource("host ", topology.hostname, ": the ", node.local_ranks, " ranks on it need ",
                      format_byte_size(node.needed), ", but ", format_byte_size(node.free),
                      " are free; this rank needs ", plan.text(),
                      weights * node.local_ranks > node.free
                          ? "; spread the job over more hosts"
                          : "; lower --max-batch-tokens or --exchange-buffer");
      },
      {.phase = "memory plan"});
}

void ModelRuntime::load(const MemoryTables& tables, TensorSource& source) {
  const auto begin = std::chrono::steady_clock::now();
  const ModelConfig& config = checkpoint_.config;
  weights_ = std::make_unique<ModelWeights>(config, tables.dense, backend_);
  cache_ = std::make_unique<ExpertCache>(tables.experts, backend_);
  if (config.position_kind == PositionKind::kSinusoidal) {
    backend_.sinusoidal_positions(compute_, {weights_->positions(), config.position_offset - 1});
  }
  WeightLoader loader(checkpoint_, source, backend_, *experts_, compute_, exchange_);
  loader.load_dense(tables.dense, *weights_);
  loader.load_experts(placements_, *cache_);
  bytes_read_ = checkpoint_.header_bytes_read + source.bytes_read();
  weight_bytes_ = dense_bytes(config, tables.dense) + cache_->bytes();
  // The others may have much less to read.
  const int64_t all_bytes =
      control_.all_sum(bytes_read_, {.phase = "end of loading", .patience = Patience::kForever});
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (control_.rank() == 0) {
    log_info("loaded ", format_byte_size(all_bytes), " in ", format_fixed(seconds, 2), " s (",
             format_fixed(static_cast<double>(all_bytes) / seconds / 1e9, 2), " GB/s)");
  }
}

RankStats ModelRuntime::stats(const Engine& engine) const {
  RankStats stats;
  for (const ExpertLayer& layer : cache_->layers()) stats.num_experts += layer.num_local_experts;
  stats.weight_bytes = weight_bytes_;
  stats.bytes_read = bytes_read_;
  stats.rows = engine.rows();
  if (moe_ != nullptr) {
    stats.rounds = moe_->rounds();
    stats.expert_rows = moe_->rows_computed();
  }
  for (size_t phase = 0; phase < static_cast<size_t>(Phase::kCount); ++phase) {
    stats.seconds.push_back(clock_.seconds(static_cast<Phase>(phase)));
  }
  return stats;
}

}  // namespace switchyard
