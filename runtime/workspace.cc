#include "runtime/workspace.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/cache_groups.h"
#include "runtime/decode_tables.h"

namespace switchyard {

std::string_view name_of(MemoryCategory category) {
  switch (category) {
    case MemoryCategory::kDense:
      return "dense weights";
    case MemoryCategory::kExperts:
      return "experts";
    case MemoryCategory::kActivations:
      return "activations";
    case MemoryCategory::kExchange:
      return "exchange buffers";
    case MemoryCategory::kLogProbs:
      return "log-probs";
    case MemoryCategory::kHost:
      return "host staging";
  }
  return "?";
}

int64_t logit_chunk_rows(const ModelConfig& config) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  return std::clamp(kBytes / (config.vocab_size * int64_t{sizeof(float)}), int64_t{1},
                    int64_t{256});
}

namespace {

/// Adds the entries of one part of the model after the other.
class TableBuilder {
 public:
  TableBuilder(const ModelConfig& config, const WorkspaceLimits& limits, const Backend& backend)
      : config_(config), limits_(limits), backend_(backend) {}

  std::vector<BufferSpec> build() {
    add_rows();
    add_attention();
    if (config_.position_kind == PositionKind::kRotary) add_rope();
    add_feed_forward();
    if (config_.num_moe_layers() > 0) add_experts();
    add_log_probs();
    return std::move(table_);
  }

 private:
  using Id = BufferId;
  using Category = MemoryCategory;

  void add(Id id, Category category, DType dtype, Shape shape) {
    table_.push_back({id, category, dtype, shape});
  }
  /// An activation, fp32.
  void add(Id id, Shape shape) { add(id, Category::kActivations, DType::kF32, shape); }
  void add_indices(Id id, Shape shape) { add(id, Category::kActivations, DType::kI32, shape); }

  void add_rows();
  void add_attention();
  void add_latent_attention();
  void add_rope();
  void add_feed_forward();
  void add_experts();
  void add_log_probs();
  int64_t num_pages() const;

  const ModelConfig& config_;
  const WorkspaceLimits& limits_;
  const Backend& backend_;
  const int64_t rows_ = limits_.max_rows;
  const int64_t block_ = std::min(rows_, kAttentionBlockRows);
  const int64_t width_ = config_.hidden_size;
  std::vector<BufferSpec> table_;
};

void TableBuilder::add_rows() {
  add_indices(Id::kIds, {rows_});
  add_indices(Id::kPositions, {rows_});
  add(Id::kHidden, {rows_, width_});
  add(Id::kNormed, {rows_, width_});
}

int64_t TableBuilder::num_pages() const {
  if (limits_.cache_pages.empty()) return limits_.max_pages;
  int64_t pages = 0;
  const std::vector<CacheGroup> groups = cache_groups(config_);
  for (size_t group = 0; group < groups.size(); ++group) {
    pages += limits_.cache_pages[group] * static_cast<int64_t>(groups[group].layers.size());
  }
  return pages;
}

void TableBuilder::add_attention() {
  const KeyValueSpec spec = config_.key_values();
  add(Id::kQueries, {block_, config_.num_heads * config_.head_dim});
  add(Id::kKeyValuePages, Category::kActivations, DType::kU8,
      {num_pages(), backend_.key_value_page_bytes(spec)});
  add(Id::kAttention, {block_, config_.num_heads * spec.value_dim});
  if (limits_.has_graphs) {
    const auto groups = static_cast<int64_t>(limits_.cache_pages.size());
    add_indices(Id::kDecodePositions, {block_});
    add_indices(Id::kDecodePages,
                {groups, DecodeTables::entries_needed(block_, config_.max_positions)});
  }
  if (config_.attention == AttentionKind::kLatent) return add_latent_attention();
  add(Id::kKeys, {block_, config_.num_kv_heads * config_.head_dim});
  add(Id::kValues, {block_, config_.num_kv_heads * config_.value_dim});
}

void TableBuilder::add_latent_attention() {
  const LatentSizes& latent = config_.latent;
  const int64_t heads = config_.num_heads;
  if (latent.query_rank > 0) add(Id::kQueryLatent, {block_, latent.query_rank});
  add(Id::kLatent, {block_, latent.rank + latent.rope_dim});
  if (config_.attention_form == AttentionForm::kAbsorbed) {
    add(Id::kAbsorbedQueries, {block_, heads * (latent.rank + latent.rope_dim)});
    add(Id::kHeadOutputs, {block_, heads * config_.value_dim});
    return;
  }
  add(Id::kKeys, {block_, heads * config_.head_dim});
  add(Id::kValues, {block_, heads * config_.value_dim});
}

void TableBuilder::add_rope() {
  const int64_t half = config_.rope.rotary_dim / 2;
  // Each sequence of a step may have a length of its own.
  const int64_t sets = config_.rope.depends_on_length() ? rows_ : 1;
  add_indices(Id::kRopeSets, {rows_});
  add(Id::kRopeFrequencies, {sets, half});
  add(Id::kRopeScales, {sets});
  add(Id::kRopeTable, {rows_, 2 * half});
}

void TableBuilder::add_feed_forward() {
  const bool has_dense = config_.num_moe_layers() < config_.num_layers();
  const bool has_shared = config_.num_moe_layers() > 0 && config_.shared_ffn_size > 0;
  const int64_t largest =
      std::max(has_dense ? config_.ffn_size : 0, has_shared ? config_.shared_ffn_size : 0);
  if (largest == 0) return;
  add(Id::kFfnHidden, {block_, largest * config_.ffn_form.rows_per_unit()});
  if (config_.ffn_form.glu != GluLayout::kNone) add(Id::kFfnGated, {block_, largest});
  if (!has_shared) return;
  add(Id::kShared, {block_, width_});
  if (config_.shared_gate == SharedExpertGate::kSigmoid) add(Id::kSharedGate, {block_, 1});
}

void TableBuilder::add_experts() {
  const int64_t top_k = config_.router.top_k;
  const int64_t round = limits_.exchange_rows;
  const int64_t hidden = config_.expert_ffn_size * config_.ffn_form.rows_per_unit();
  if (config_.gate_network == GateNetwork::kTanhMlp) {
    add(Id::kGateInner, {block_, config_.router.num_experts});
  }
  add(Id::kGateLogits, {block_, config_.router.num_experts});
  add_indices(Id::kTopkIdx, {rows_, top_k});
  add(Id::kTopkWeights, {rows_, top_k});
  if (limits_.capacity == ExpertCapacity::kLimited) {
    add_indices(Id::kSlots, {rows_, top_k});
    add_indices(Id::kRouterMask, {rows_});
  }
  if (limits_.forecast_rows > 0) {
    add(Id::kForecastRows, {limits_.forecast_rows, width_});
    add_indices(Id::kForecastIdx, {limits_.forecast_rows, top_k});
    add(Id::kForecastWeights, {limits_.forecast_rows, top_k});
  }
  add(Id::kExpertRows, {rows_ * top_k, width_});
  add(Id::kGroupedIn, Category::kExchange, DType::kF32, {round, width_});
  add(Id::kGroupedOut, Category::kExchange, DType::kF32, {round, width_});
  add(Id::kGroupedHidden, Category::kExchange, DType::kF32, {round, hidden});
}

void TableBuilder::add_log_probs() {
  const auto add_result = [this](Id id, DType dtype, Shape shape) {
    add(id, Category::kLogProbs, dtype, shape);
  };
  const int64_t chunk = std::min(rows_, logit_chunk_rows(config_));
  add_result(Id::kTargets, DType::kI32, {rows_});
  add_result(Id::kLogitIndex, DType::kI32, {rows_});
  add_result(Id::kLogitRows, DType::kF32, {chunk, width_});
  add_result(Id::kLogits, DType::kF32, {chunk, config_.vocab_size});
  add_result(Id::kLogProbs, DType::kF32, {rows_});
  add_result(Id::kGreedy, DType::kI32, {rows_});
  add_indices(Id::kNonFinite, {config_.num_layers() + 1 + (rows_ + chunk - 1) / chunk});
  if (limits_.top_logprobs == 0) return;
  add_result(Id::kTopIds, DType::kI32, {rows_, limits_.top_logprobs});
  add_result(Id::kTopLogProbs, DType::kF32, {rows_, limits_.top_logprobs});
}

}  // namespace

std::vector<BufferSpec> workspace_table(const ModelConfig& config, const WorkspaceLimits& limits,
                                        const Backend& backend) {
  return TableBuilder(config, limits, backend).build();
}

TensorView Workspace::shaped(BufferId id, Shape shape) const {
  TensorView part = view(id);
  const int64_t whole = part.bytes();
  part.shape = shape;
  SWITCHYARD_CHECK(part.bytes() <= whole, "buffer ", static_cast<int>(id), " holds ", whole,
                   " bytes, not ", part.bytes());
  return part;
}

Workspace::Workspace(const std::vector<BufferSpec>& table, Backend& backend)
    : buffers_(static_cast<size_t>(BufferId::kCount)) {
  for (const BufferSpec& spec : table) {
    buffers_[static_cast<size_t>(spec.id)] = backend.allocate_tensor(spec.dtype, spec.shape);
  }
}

}  // namespace switchyard
