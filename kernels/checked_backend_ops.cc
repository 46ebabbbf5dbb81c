#include <algorithm>
#include <cfloat>
#include <utility>
#include <vector>

#include "kernels/checked_backend.h"
#include "kernels/cpu/embed.h"
#include "kernels/cpu/finite.h"
#include "kernels/cpu/layer_norm.h"
#include "kernels/cpu/log_probs.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/sinusoidal_positions.h"

namespace switchyard {
namespace {

// Checks settings and sorts the ids of `params`.
void check_sampling(const Arguments& check, cpu::SampleParams& params) {
  for (const SampleSettings& row : params.rows) {
    check.require(row.temperature >= 0.0f && row.temperature <= FLT_MAX, "temperature",
                  "is negative or not finite");
    check.require(row.top_k >= 0, "top_k", "is negative");
    check.require(row.top_p >= 0.0f && row.top_p <= 1.0f, "top_p", "is not in 0 .. 1");
    check.require(row.uniform >= 0.0f && row.uniform < 1.0f, "uniform", "is not in [0, 1)");
  }
  for (std::vector<int32_t>& ids : params.banned_ids) {
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    check.require(ids.empty() || (ids.front() >= 0 && ids.back() < params.vocabulary), "eos_ids",
                  "are not all in the vocabulary");
    check.require(static_cast<int64_t>(ids.size()) < params.vocabulary, "eos_ids",
                  "leave no token");
  }
  check.require(params.vocabulary <= cpu::kMostSampled, "logits", "has more than 2^20 entries");
}

}  // namespace

void CheckedBackend::sinusoidal_positions(Stream& stream, const SinusoidalPositionsArgs& args) {
  const Arguments check = arguments("sinusoidal_positions");
  check.rank("out", args.out, 2);
  cpu::SinusoidalPositionsParams params;
  params.num_rows = args.out.shape[0];
  params.width = args.out.shape[1];
  params.out = check.f32("out", args.out, {params.num_rows, params.width});
  params.zero_row = args.zero_row;
  run_sinusoidal_positions(stream, params);
}

void CheckedBackend::embed(Stream& stream, const EmbedArgs& args) {
  const Arguments check = arguments("embed");
  const int64_t tokens = args.ids.shape[0];
  const int64_t width = args.table.spec.cols;
  check.require(!args.table.spec.quantization.is_on(), "table", "is quantised");
  cpu::EmbedParams params;
  params.ids = check.i32("ids", args.ids, {tokens});
  params.table =
      check.weight("table", args.table, args.table.spec.rows, width, packed_bytes(args.table.spec));
  if (args.position_table.data != nullptr) {
    check.rank("position_table", args.position_table, 2);
    params.positions = check.i32("positions", args.positions, {tokens});
    params.num_positions = args.position_table.shape[0];
    params.position_table =
        check.f32("position_table", args.position_table, {params.num_positions, width});
  }
  params.out = check.f32("out", args.out, {tokens, width});
  params.num_tokens = tokens;
  params.scale = args.scale;
  run_embed(stream, params);
}

void CheckedBackend::layer_norm(Stream& stream, const LayerNormArgs& args) {
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
  run_layer_norm(stream, params);
}

void CheckedBackend::matmul(Stream& stream, const MatmulArgs& args) {
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
  host.scale = args.scale;
  host.residual = check.optional_f32("residual", args.residual, {rows, spec.rows});
  host.out = check.f32("out", args.out, {rows, spec.rows});
  if (rows > 0) run_matmul(stream, host);
}

void CheckedBackend::gather_rows(Stream& stream, const GatherRowsArgs& args) {
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
  run_gather_rows(stream, params);
}

void CheckedBackend::scatter_rows(Stream& stream, const ScatterRowsArgs& args) {
  const Arguments check = arguments("scatter_rows");
  check.rank("out", args.out, 2);
  const int64_t width = args.out.shape[1];
  const int64_t count = args.index.shape[0];
  check.disjoint("out", args.out, "x", args.x);
  cpu::CopyRowsParams params;
  check.require(args.copies >= 1 && count % args.copies == 0, "copies", "do not divide the index");
  params.copies = args.copies;
  params.from = check.f32("x", args.x, {count / args.copies, width});
  params.to = check.f32("out", args.out, {args.out.shape[0], width});
  params.index = check.i32("index", args.index, {count});
  params.count = count;
  params.indexed_rows = args.out.shape[0];
  params.row_bytes = width * size_of(DType::kF32);
  run_scatter_rows(stream, params);
}

void CheckedBackend::log_probs(Stream& stream, const LogProbsArgs& args) {
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
  run_log_probs(stream, params);
}

void CheckedBackend::sample(Stream& stream, const SampleArgs& args) {
  const Arguments check = arguments("sample");
  check.rank("logits", args.logits, 2);
  const auto rows = static_cast<int64_t>(args.rows.size());
  cpu::SampleParams params;
  params.vocabulary = args.logits.shape[1];
  params.logits = check.f32("logits", args.logits, {rows, params.vocabulary});
  params.tokens = check.i32("tokens", args.tokens, {rows});
  params.rows = args.rows;
  params.banned_ids = {args.banned_ids, args.banned_ids};
  params.banned_ids[1].insert(params.banned_ids[1].end(), args.eos_ids.begin(), args.eos_ids.end());
  check_sampling(check, params);
  run_sample(stream, std::move(params));
}

void CheckedBackend::find_non_finite(Stream& stream, const FindNonFiniteArgs& args) {
  const Arguments check = arguments("find_non_finite");
  check.rank("x", args.x, 2);
  cpu::FindNonFiniteParams params;
  params.num_rows = args.x.shape[0];
  params.width = args.x.shape[1];
  params.x = check.f32("x", args.x, {params.num_rows, params.width});
  params.first_row = check.i32("first_row", args.first_row, {1});
  run_find_non_finite(stream, params);
}

}  // namespace switchyard
