#include <memory>
#include <utility>
#include <vector>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/capacity.h"
#include "kernels/cpu/combine.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/embed.h"
#include "kernels/cpu/finite.h"
#include "kernels/cpu/grouped_ffn_driver.h"
#include "kernels/cpu/layer_norm.h"
#include "kernels/cpu/log_probs.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/route.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/sinusoidal_positions.h"

namespace switchyard {
namespace {

// Runs operation(context, params) in the stream's order with copies of its parameters.
template <typename Operation, typename... Params>
void enqueue(Stream& stream, Operation operation, Params... params) {
  auto& queue = static_cast<HostQueue&>(stream.queue());
  OpContext& context = queue.context();
  queue.enqueue(
      [&context, operation, ... params = std::move(params)] { operation(context, params...); });
}

// The host form of a grouped_ffn call; owns what the call's vectors held.
struct GroupedFfnCopy {
  cpu::HostGroupedFfn args;
  std::vector<int64_t> row_offsets;
  std::vector<cpu::HostExpert> experts;
};

void run_grouped_ffn(OpContext& context, const std::shared_ptr<const GroupedFfnCopy>& copy) {
  cpu::grouped_ffn(context.kernels, context.pool, context.matmul_scratch(), copy->args);
}

void run_matmul(OpContext& context, const cpu::HostMatmul& args) {
  cpu::matmul(context.kernels, context.pool, context.matmul_scratch(), args);
}

}  // namespace

void CpuBackendBase::sinusoidal_positions(Stream& stream, const SinusoidalPositionsArgs& args) {
  const Arguments check = arguments("sinusoidal_positions");
  check.rank("out", args.out, 2);
  cpu::SinusoidalPositionsParams params;
  params.num_rows = args.out.shape[0];
  params.width = args.out.shape[1];
  params.out = check.f32("out", args.out, {params.num_rows, params.width});
  params.zero_row = args.zero_row;
  enqueue(stream, cpu::sinusoidal_positions, params);
}

void CpuBackendBase::embed(Stream& stream, const EmbedArgs& args) {
  const Arguments check = arguments("embed");
  const int64_t tokens = args.ids.shape[0];
  const int64_t width = args.table.spec.cols;
  check.rank("position_table", args.position_table, 2);
  cpu::EmbedParams params;
  params.ids = check.i32("ids", args.ids, {tokens});
  params.positions = check.i32("positions", args.positions, {tokens});
  params.table =
      check.weight("table", args.table, args.table.spec.rows, width, packed_bytes(args.table.spec));
  params.num_positions = args.position_table.shape[0];
  params.position_table =
      check.f32("position_table", args.position_table, {params.num_positions, width});
  params.out = check.f32("out", args.out, {tokens, width});
  params.num_tokens = tokens;
  params.scale = args.scale;
  enqueue(stream, cpu::embed, params);
}

void CpuBackendBase::layer_norm(Stream& stream, const LayerNormArgs& args) {
  const Arguments check = arguments("layer_norm");
  check.rank("x", args.x, 2);
  const int64_t rows = args.x.shape[0];
  const int64_t width = args.x.shape[1];
  cpu::LayerNormParams params;
  params.x = check.f32("x", args.x, {rows, width});
  params.gamma = check.f32("gamma", args.gamma, {width});
  params.beta = check.f32("beta", args.beta, {width});
  params.out = check.f32("out", args.out, {rows, width});
  params.num_rows = rows;
  params.width = width;
  params.eps = args.eps;
  enqueue(stream, cpu::layer_norm, params);
}

void CpuBackendBase::matmul(Stream& stream, const MatmulArgs& args) {
  const Arguments check = arguments("matmul");
  check.rank("x", args.x, 2);
  const int64_t rows = args.x.shape[0];
  const WeightSpec& spec = args.w.spec;
  check.disjoint("out", args.out, "x", args.x);
  cpu::HostMatmul host;
  host.x = check.f32("x", args.x, {rows, spec.cols});
  host.num_rows = rows;
  host.w = check.weight("w", args.w, spec.rows, spec.cols, packed_bytes(spec));
  host.bias = check.optional_f32("bias", args.bias, {spec.rows});
  host.activation = args.activation;
  host.residual = check.optional_f32("residual", args.residual, {rows, spec.rows});
  host.out = check.f32("out", args.out, {rows, spec.rows});
  if (rows > 0) enqueue(stream, run_matmul, host);
}

void CpuBackendBase::store_key_values(Stream& stream, const StoreKeyValuesArgs& args) {
  const Arguments check = arguments("store_key_values");
  check.rank("keys", args.keys, 2);
  const KeyValueSpec& spec = args.pages.spec;
  const Shape shape{args.keys.shape[0], spec.num_kv_heads * spec.head_dim};
  check.sequences(args.sequences, shape[0], args.page_table, args.pages.num_pages,
                  Arguments::PagesUsed::kOfRows);
  cpu::StoreKeyValuesParams params;
  params.keys = check.f32("keys", args.keys, shape);
  params.values = check.f32("values", args.values, shape);
  params.layout = cpu::KeyValueLayout(spec);
  params.pages = static_cast<float*>(
      check.address("pages", args.pages.data, args.pages.num_pages * key_value_page_bytes(spec)));
  enqueue(stream, cpu::store_key_values, params,
          cpu::PagedSequences{args.sequences, args.page_table});
}

void CpuBackendBase::attention(Stream& stream, const AttentionArgs& args) {
  const Arguments check = arguments("attention");
  check.rank("queries", args.queries, 2);
  const KeyValueSpec& spec = args.pages.spec;
  check.require(
      spec.num_kv_heads > 0 && args.num_heads > 0 && args.num_heads % spec.num_kv_heads == 0,
      "num_heads", "is not a multiple of the key/value heads");
  const Shape shape{args.queries.shape[0], args.num_heads * spec.head_dim};
  check.sequences(args.sequences, shape[0], args.page_table, args.pages.num_pages,
                  Arguments::PagesUsed::kFromStart);
  cpu::AttentionParams params;
  params.queries = check.f32("queries", args.queries, shape);
  params.out = check.f32("out", args.out, shape);
  params.layout = cpu::KeyValueLayout(spec);
  params.pages = static_cast<const float*>(
      check.address("pages", args.pages.data, args.pages.num_pages * key_value_page_bytes(spec)));
  params.num_heads = args.num_heads;
  params.scale = args.scale;
  check.disjoint("out", args.out, "queries", args.queries);
  enqueue(stream, cpu::attention, params, cpu::PagedSequences{args.sequences, args.page_table});
}

void CpuBackendBase::route(Stream& stream, const RouteArgs& args) {
  const Arguments check = arguments("route");
  check.rank("logits", args.logits, 2);
  const int64_t tokens = args.logits.shape[0];
  const int64_t experts = args.settings.num_experts;
  const int64_t top_k = args.settings.top_k;
  check.require(top_k >= 1 && top_k <= experts, "top_k", "is not in 1 .. num_experts");
  cpu::RouteParams params;
  params.logits = check.f32("logits", args.logits, {tokens, experts});
  params.topk_idx = check.i32("topk_idx", args.topk_idx, {tokens, top_k});
  params.topk_weights = check.f32("topk_weights", args.topk_weights, {tokens, top_k});
  params.num_tokens = tokens;
  params.num_experts = experts;
  params.top_k = top_k;
  params.norm = args.settings.norm;
  enqueue(stream, cpu::route, params);
}

void CpuBackendBase::apply_capacity(Stream& stream, const ApplyCapacityArgs& args) {
  const Arguments check = arguments("apply_capacity");
  check.rank("topk_idx", args.topk_idx, 2);
  const int64_t tokens = args.topk_idx.shape[0];
  const int64_t top_k = args.topk_idx.shape[1];
  int64_t next = 0;
  for (const CapacityBatch& batch : args.batches) {
    check.require(batch.first_row == next && batch.num_rows >= 0 && batch.capacity >= 0, "batches",
                  "do not follow each other");
    next += batch.num_rows;
  }
  check.require(next == tokens, "batches", "do not cover the rows");
  cpu::CapacityParams params;
  params.topk_idx = check.i32("topk_idx", args.topk_idx, {tokens, top_k});
  params.topk_weights = check.f32("topk_weights", args.topk_weights, {tokens, top_k});
  params.mask = check.i32("mask", args.mask, {tokens});
  params.slots = check.i32("slots", args.slots, {tokens, top_k});
  params.top_k = top_k;
  params.num_experts = args.num_experts;
  params.norm = args.norm;
  params.norm_order = args.norm_order;
  params.slot_order = args.slot_order;
  enqueue(stream, cpu::apply_capacity, params, args.batches);
}

void CpuBackendBase::gather_rows(Stream& stream, const GatherRowsArgs& args) {
  const Arguments check = arguments("gather_rows");
  check.rank("x", args.x, 2);
  const int64_t width = args.x.shape[1];
  const int64_t count = args.index.shape[0];
  check.disjoint("out", args.out, "x", args.x);
  cpu::CopyRowsParams params;
  params.from = check.f32("x", args.x, {args.x.shape[0], width});
  params.to = check.f32("out", args.out, {count, width});
  params.index = check.i32("index", args.index, {count});
  params.count = count;
  params.indexed_rows = args.x.shape[0];
  params.row_bytes = width * size_of(DType::kF32);
  enqueue(stream, cpu::gather_rows, params);
}

void CpuBackendBase::scatter_rows(Stream& stream, const ScatterRowsArgs& args) {
  const Arguments check = arguments("scatter_rows");
  check.rank("out", args.out, 2);
  const int64_t width = args.out.shape[1];
  const int64_t count = args.index.shape[0];
  check.disjoint("out", args.out, "x", args.x);
  cpu::CopyRowsParams params;
  params.from = check.f32("x", args.x, {count, width});
  params.to = check.f32("out", args.out, {args.out.shape[0], width});
  params.index = check.i32("index", args.index, {count});
  params.count = count;
  params.indexed_rows = args.out.shape[0];
  params.row_bytes = width * size_of(DType::kF32);
  enqueue(stream, cpu::scatter_rows, params);
}

void CpuBackendBase::grouped_ffn(Stream& stream, const GroupedFfnArgs& args) {
  const Arguments check = arguments("grouped_ffn");
  check.rank("rows", args.rows, 2);
  check.rank("hidden", args.hidden, 2);
  const int64_t rows = args.rows.shape[0];
  const int64_t width = args.rows.shape[1];
  const int64_t ffn = args.hidden.shape[1];
  check.group_offsets(args.row_offsets, static_cast<int64_t>(args.experts.size()), rows);
  check.disjoint("out", args.out, "rows", args.rows);
  auto copy = std::make_shared<GroupedFfnCopy>();
  copy->row_offsets = args.row_offsets;
  for (const ExpertWeights& expert : args.experts) {
    copy->experts.push_back(
        {.up = check.weight("up", expert.up, ffn, width, packed_bytes(expert.up.spec)),
         .up_bias = check.optional_f32("up_bias", expert.up_bias, {ffn}),
         .down = check.weight("down", expert.down, width, ffn, packed_bytes(expert.down.spec)),
         .down_bias = check.optional_f32("down_bias", expert.down_bias, {width})});
  }
  cpu::HostGroupedFfn& host = copy->args;
  host.rows = check.f32("rows", args.rows, {rows, width});
  host.hidden = check.f32("hidden", args.hidden, {rows, ffn});
  host.out = check.f32("out", args.out, {rows, width});
  host.row_offsets = copy->row_offsets.data();
  host.experts = copy->experts.data();
  host.num_groups = static_cast<int64_t>(copy->experts.size());
  host.activation = args.form.activation;
  if (rows == 0) return;
  enqueue(stream, run_grouped_ffn, std::shared_ptr<const GroupedFfnCopy>(std::move(copy)));
}

void CpuBackendBase::combine(Stream& stream, const CombineArgs& args) {
  const Arguments check = arguments("combine");
  check.rank("topk_idx", args.topk_idx, 2);
  check.rank("expert_rows", args.expert_rows, 2);
  const int64_t tokens = args.topk_idx.shape[0];
  const int64_t top_k = args.topk_idx.shape[1];
  const int64_t width = args.expert_rows.shape[1];
  check.require(top_k >= 1 && top_k <= kMaxTopK, "top_k", "is not in 1 .. 64");
  check.disjoint("out", args.out, "expert_rows", args.expert_rows);
  cpu::CombineParams params;
  params.expert_rows = check.f32("expert_rows", args.expert_rows, {tokens * top_k, width});
  params.topk_idx = check.i32("topk_idx", args.topk_idx, {tokens, top_k});
  params.topk_weights = check.f32("topk_weights", args.topk_weights, {tokens, top_k});
  params.residual = check.optional_f32("residual", args.residual, {tokens, width});
  params.out = check.f32("out", args.out, {tokens, width});
  params.num_tokens = tokens;
  params.top_k = top_k;
  params.width = width;
  enqueue(stream, cpu::combine, params);
}

void CpuBackendBase::log_probs(Stream& stream, const LogProbsArgs& args) {
  const Arguments check = arguments("log_probs");
  check.rank("logits", args.logits, 2);
  const int64_t rows = args.logits.shape[0];
  cpu::LogProbsParams params;
  params.vocabulary = args.logits.shape[1];
  check.require(params.vocabulary >= 1, "logits", "has no vocabulary");
  params.logits = check.f32("logits", args.logits, {rows, params.vocabulary});
  params.targets = check.i32("targets", args.targets, {rows});
  params.logprobs = check.f32("logprobs", args.logprobs, {rows});
  params.greedy = check.i32("greedy", args.greedy, {rows});
  params.num_rows = rows;
  if (args.top_ids.data != nullptr) {
    check.rank("top_ids", args.top_ids, 2);
    params.num_top = args.top_ids.shape[1];
    check.require(params.num_top <= params.vocabulary, "top_ids", "asks for more than there are");
    params.top_ids = check.i32("top_ids", args.top_ids, {rows, params.num_top});
    params.top_logprobs = check.f32("top_logprobs", args.top_logprobs, {rows, params.num_top});
  }
  enqueue(stream, cpu::log_probs, params);
}

void CpuBackendBase::find_non_finite(Stream& stream, const FindNonFiniteArgs& args) {
  const Arguments check = arguments("find_non_finite");
  check.rank("x", args.x, 2);
  cpu::FindNonFiniteParams params;
  params.num_rows = args.x.shape[0];
  params.width = args.x.shape[1];
  params.x = check.f32("x", args.x, {params.num_rows, params.width});
  params.first_row = check.i32("first_row", args.first_row, {1});
  enqueue(stream, cpu::find_non_finite, params);
}

}  // namespace switchyard
