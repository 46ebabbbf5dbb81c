#include "runtime/attention_layer.h"

#include <algorithm>
#include <utility>

#include "runtime/cache_groups.h"

namespace switchyard {
namespace {

/// The parts of `sequences` that lie in rows [first, first + count), renumbered from `first`.
std::vector<SequenceRows> clip(const std::vector<SequenceRows>& sequences, int64_t first,
                               int64_t count) {
  std::vector<SequenceRows> clipped;
  for (const SequenceRows& sequence : sequences) {
    const int64_t begin = std::max(sequence.first_row, first);
    const int64_t end = std::min(sequence.first_row + sequence.num_rows, first + count);
    if (begin >= end) continue;
    clipped.push_back({begin - first, end - begin,
                       sequence.first_position + begin - sequence.first_row,
                       sequence.first_page_entry, sequence.num_keys});
  }
  return clipped;
}

}  // namespace

AttentionLayer::AttentionLayer(const AttentionParts& parts)
    : p_(parts), group_of_(parts.config.layers.size(), 0) {
  const std::vector<CacheGroup> groups = cache_groups(p_.config);
  for (size_t group = 0; group < groups.size(); ++group) {
    for (const int layer : groups[group].layers) group_of_[static_cast<size_t>(layer)] = group;
  }
  if (p_.cache_pages.empty()) return;
  first_pages_ = first_cache_pages(groups, p_.cache_pages, p_.config.num_layers());
}

void AttentionLayer::run(int layer, const AttentionWeights& weights, const AttentionRows& rows,
                         int64_t first_row, const TensorView& x, const TensorView& hidden) {
  const Block block = {layer, weights, first_row, x.shape[0], x, hidden};
  const KeysAndValues projected =
      p_.config.attention == AttentionKind::kLatent ? project_latent(block) : project_heads(block);
  StoreKeyValuesArgs stored = {projected.keys, projected.values, {}, {}, pages_of(layer)};
  if (rows.decode.empty()) {
    stored.sequences = clip(rows.sequences, first_row, x.shape[0]);
    stored.page_table = rows.page_tables[group_of(layer)];
  } else {
    stored.decode_rows = rows.decode[group_of(layer)];
  }
  p_.backend.store_key_values(p_.compute, stored);
  AttentionArgs args;
  args.queries = projected.queries;
  args.num_heads = p_.config.num_heads;
  args.scale = p_.config.attention_scale;
  args.sequences = std::move(stored.sequences);
  args.page_table = std::move(stored.page_table);
  args.decode_rows = stored.decode_rows;
  args.pages = stored.pages;
  args.out = p_.workspace.rows(BufferId::kAttention, block.num_rows);
  args.window = p_.config.window_of(layer);
  args.sinks = weights.sinks;
  p_.backend.attention(p_.compute, args);
  finish(block, args.out);
}

KeyValuePages AttentionLayer::pages_of(int layer) const {
  const TensorView& pages = p_.workspace.view(BufferId::kKeyValuePages);
  if (p_.cache_pages.empty()) return {p_.config.key_values(), pages.data, pages.shape[0]};
  const int64_t count = p_.cache_pages[group_of(layer)];
  const TensorView mine = pages.rows(first_pages_[static_cast<size_t>(layer)], count);
  return {p_.config.key_values(), mine.data, count};
}

TensorView AttentionLayer::multiply(const TensorView& x, const LinearWeights& weights,
                                    BufferId to) {
  const TensorView out = p_.workspace.rows(to, x.shape[0]);
  p_.backend.matmul(p_.compute, {x, weights.weight, weights.bias, Activation::kNone, {}, out});
  return out;
}

void AttentionLayer::normalize(const HeadColumns& x, const TensorView& gain, float eps) {
  p_.backend.rms_norm(p_.compute, {x, gain, eps, x});
}

void AttentionLayer::rotate(const Block& block, const HeadColumns& x, const HeadColumns& out) {
  if (p_.config.position_kind != PositionKind::kRotary) return;
  const TensorView table =
      p_.workspace.view(BufferId::kRopeTable).rows(block.first_row, block.num_rows);
  p_.backend.rope(p_.compute, {x, table, p_.config.rope.layout, out});
}

void AttentionLayer::head_norms(const Block& block, const TensorView& queries,
                                const TensorView& keys) {
  const bool is_per_head = p_.config.head_norm == HeadNorm::kPerHead;
  normalize({queries, is_per_head ? p_.config.num_heads : 1, 0}, block.weights.query_norm,
            p_.config.norm_eps);
  normalize({keys, is_per_head ? p_.config.num_kv_heads : 1, 0}, block.weights.key_norm,
            p_.config.norm_eps);
}

AttentionLayer::KeysAndValues AttentionLayer::project_heads(const Block& block) {
  const ModelConfig& config = p_.config;
  const KeysAndValues out = {multiply(block.x, block.weights.query, BufferId::kQueries),
                             multiply(block.x, block.weights.key, BufferId::kKeys),
                             multiply(block.x, block.weights.value, BufferId::kValues)};
  const bool has_norms = config.head_norm != HeadNorm::kNone;
  const bool norms_first = config.head_norm_order == HeadNormOrder::kBeforeRope;
  if (has_norms && norms_first) head_norms(block, out.queries, out.keys);
  if (config.clip_qkv > 0.0f) {
    for (const TensorView& x : {out.queries, out.keys, out.values}) {
      p_.backend.clamp(p_.compute, {x, config.clip_qkv});
    }
  }
  const HeadColumns queries = {out.queries, config.num_heads, 0};
  const HeadColumns keys = {out.keys, config.num_kv_heads, 0};
  rotate(block, queries, queries);
  rotate(block, keys, keys);
  if (has_norms && !norms_first) head_norms(block, out.queries, out.keys);
  return out;
}

TensorView AttentionLayer::latent_queries(const Block& block) {
  if (p_.config.latent.query_rank == 0) {
    return multiply(block.x, block.weights.query, BufferId::kQueries);
  }
  const TensorView latent = multiply(block.x, block.weights.query_latent, BufferId::kQueryLatent);
  normalize({latent, 1, 0}, block.weights.query_latent_norm, p_.config.latent.norm_eps);
  return multiply(latent, block.weights.query, BufferId::kQueries);
}

AttentionLayer::KeysAndValues AttentionLayer::project_latent(const Block& block) {
  const LatentSizes& sizes = p_.config.latent;
  const TensorView queries = latent_queries(block);
  const TensorView latent = multiply(block.x, block.weights.latent, BufferId::kLatent);
  normalize({latent, 1, 0}, block.weights.latent_norm, sizes.norm_eps);
  return p_.config.attention_form == AttentionForm::kExpanded ? expand(block, queries, latent)
                                                              : absorb(block, queries, latent);
}

AttentionLayer::KeysAndValues AttentionLayer::expand(const Block& block, const TensorView& queries,
                                                     const TensorView& latent) {
  const ModelConfig& config = p_.config;
  const int64_t nope = config.latent.nope_dim;
  const TensorView keys = p_.workspace.rows(BufferId::kKeys, block.num_rows);
  const TensorView values = p_.workspace.rows(BufferId::kValues, block.num_rows);
  p_.backend.heads_matmul(p_.compute,
                          {{latent, 1, 0}, block.weights.head_keys, {keys, config.num_heads, 0}});
  p_.backend.heads_matmul(
      p_.compute, {{latent, 1, 0}, block.weights.head_values, {values, config.num_heads, 0}});
  rotate(block, {latent, 1, config.latent.rank}, {keys, config.num_heads, nope});
  const HeadColumns turned = {queries, config.num_heads, nope};
  rotate(block, turned, turned);
  return {queries, keys, values};
}

AttentionLayer::KeysAndValues AttentionLayer::absorb(const Block& block, const TensorView& queries,
                                                     const TensorView& latent) {
  const ModelConfig& config = p_.config;
  const int64_t rank = config.latent.rank;
  const TensorView absorbed = p_.workspace.rows(BufferId::kAbsorbedQueries, block.num_rows);
  p_.backend.heads_matmul(
      p_.compute,
      {{queries, config.num_heads, 0}, block.weights.head_keys, {absorbed, config.num_heads, 0}});
  rotate(block, {queries, config.num_heads, config.latent.nope_dim},
         {absorbed, config.num_heads, rank});
  rotate(block, {latent, 1, rank}, {latent, 1, rank});
  return {absorbed, latent, {}};
}

void AttentionLayer::finish(const Block& block, TensorView attended) {
  const ModelConfig& config = p_.config;
  if (config.key_values().values == ValueSource::kKeyPrefix) {
    const TensorView outputs = p_.workspace.rows(BufferId::kHeadOutputs, block.num_rows);
    p_.backend.heads_matmul(p_.compute, {{attended, config.num_heads, 0},
                                         block.weights.head_values,
                                         {outputs, config.num_heads, 0}});
    attended = outputs;
  }
  p_.backend.matmul(p_.compute,
                    {attended, block.weights.output.weight, block.weights.output.bias,
                     Activation::kNone, block.hidden, block.hidden, config.residual_scale});
}

}  // namespace switchyard
