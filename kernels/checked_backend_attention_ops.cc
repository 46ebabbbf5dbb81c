// What attention layers are made of: norms, rotary positions, stored keys and values, attention.
#include <utility>
#include <vector>

#include "kernels/checked_backend.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/clamp.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/rms_norm.h"
#include "kernels/cpu/rope.h"

namespace switchyard {
namespace {

/// The checked rows of StoreKeyValuesArgs or AttentionArgs.
template <typename Args>
cpu::PagedSequences paged_sequences(const Arguments& check, const Args& args, int64_t num_rows,
                                    Arguments::PagesUsed used, int64_t window = 0) {
  if (!args.decode_rows.are_given()) {
    check.sequences(args.sequences, num_rows, args.page_table, args.pages.num_pages, used, window);
    return {args.sequences, args.page_table};
  }
  check.require(args.sequences.empty() && args.page_table.empty(), "sequences",
                "are given, and decode_rows too");
  check.rank("page_table", args.decode_rows.page_table, 2);
  cpu::PagedDecodeRows rows;
  rows.num_rows = num_rows;
  rows.num_pages = args.decode_rows.page_table.shape[1];
  rows.positions = check.i32("positions", args.decode_rows.positions, {num_rows});
  rows.page_table =
      check.i32("page_table", args.decode_rows.page_table, {num_rows, rows.num_pages});
  return {{}, {}, rows};
}

}  // namespace

void CheckedBackend::rms_norm(Stream& stream, const RmsNormArgs& args) {
  const Arguments check = arguments("rms_norm");
  check.rank("gamma", args.gamma, 1);
  cpu::RmsNormParams params;
  params.num_rows = args.x.rows.shape[0];
  params.width = args.gamma.shape[0];
  params.x = check.columns("x", args.x, params.num_rows, params.width);
  params.out = check.columns("out", args.out, params.num_rows, params.width);
  params.gamma = check.f32("gamma", args.gamma, {params.width});
  params.eps = args.eps;
  check.require(args.out.num_heads == args.x.num_heads, "out", "has not as many heads as x");
  check.same_or_disjoint("out", args.out, "x", args.x);
  run_rms_norm(stream, params);
}

void CheckedBackend::heads_matmul(Stream& stream, const HeadsMatmulArgs& args) {
  const Arguments check = arguments("heads_matmul");
  const auto num_heads = static_cast<int64_t>(args.weights.size());
  check.require(num_heads > 0 && num_heads == args.out.num_heads, "weights",
                "are not one for each head of out");
  check.require(args.x.num_heads == 1 || args.x.num_heads == num_heads, "x",
                "has neither one head nor one for each weight");
  const int64_t num_rows = args.x.rows.shape[0];
  const WeightSpec& spec = args.weights[0].spec;
  const ColumnAddresses x = check.columns("x", args.x, num_rows, spec.cols);
  const ColumnAddresses out = check.columns("out", args.out, num_rows, spec.rows);
  check.disjoint("out", args.out.rows, "x", args.x.rows);
  std::vector<cpu::HostMatmul> heads(args.weights.size());
  for (int64_t head = 0; head < num_heads; ++head) {
    const auto index = static_cast<size_t>(head);
    const Weight& weight = args.weights[index];
    cpu::HostMatmul& host = heads[index];
    host.w = check.weight("weights", weight, spec.rows, spec.cols, packed_bytes(weight.spec));
    host.x = x.at(0, x.num_heads == 1 ? 0 : head);
    host.x_stride = x.row_stride;
    host.num_rows = num_rows;
    host.out = out.at(0, head);
    host.out_stride = out.row_stride;
  }
  if (num_rows > 0) run_matmuls(stream, std::move(heads));
}

void CheckedBackend::clamp(Stream& stream, const ClampArgs& args) {
  const Arguments check = arguments("clamp");
  check.require(args.limit >= 0.0f, "limit", "is not a number from 0 on");
  cpu::ClampParams params;
  params.x = check.f32("x", args.x, args.x.shape);
  params.count = args.x.shape.num_elements();
  params.limit = args.limit;
  run_clamp(stream, params);
}

void CheckedBackend::rope_table(Stream& stream, const RopeTableArgs& args) {
  const Arguments check = arguments("rope_table");
  check.rank("frequencies", args.frequencies, 2);
  cpu::RopeTableParams params;
  params.num_rows = args.positions.shape[0];
  params.num_sets = args.frequencies.shape[0];
  params.half = args.frequencies.shape[1];
  params.positions = check.i32("positions", args.positions, {params.num_rows});
  params.frequency_set = check.i32("frequency_set", args.frequency_set, {params.num_rows});
  params.frequencies = check.f32("frequencies", args.frequencies, {params.num_sets, params.half});
  params.scales = check.f32("scales", args.scales, {params.num_sets});
  params.out = check.f32("out", args.out, {params.num_rows, 2 * params.half});
  run_rope_table(stream, params);
}

void CheckedBackend::rope(Stream& stream, const RopeArgs& args) {
  const Arguments check = arguments("rope");
  check.rank("table", args.table, 2);
  check.require(args.table.shape[1] % 2 == 0, "table", "has an odd number of columns");
  cpu::RopeParams params;
  params.num_rows = args.table.shape[0];
  params.half = args.table.shape[1] / 2;
  params.table = check.f32("table", args.table, {params.num_rows, 2 * params.half});
  params.x = check.columns("x", args.x, params.num_rows, 2 * params.half);
  params.out = check.columns("out", args.out, params.num_rows, 2 * params.half);
  params.layout = args.layout;
  check.require(args.x.num_heads == 1 || args.x.num_heads == args.out.num_heads, "x",
                "has neither one head nor as many as out");
  check.same_or_disjoint("out", args.out, "x", args.x);
  run_rope(stream, params);
}

void CheckedBackend::store_key_values(Stream& stream, const StoreKeyValuesArgs& args) {
  const Arguments check = arguments("store_key_values");
  check.rank("keys", args.keys, 2);
  const KeyValueSpec& spec = args.pages.spec;
  const int64_t num_rows = args.keys.shape[0];
  check.key_values(spec);
  cpu::StoreKeyValuesParams params;
  params.keys = check.f32("keys", args.keys, {num_rows, spec.num_kv_heads * spec.head_dim});
  if (spec.values == ValueSource::kOwn) {
    params.values =
        check.f32("values", args.values, {num_rows, spec.num_kv_heads * spec.value_dim});
  } else {
    check.require(args.values.data == nullptr, "values", "are given, but keys hold them");
  }
  params.layout = cpu::KeyValueLayout(spec);
  params.pages = static_cast<float*>(
      check.address("pages", args.pages.data, args.pages.num_pages * key_value_page_bytes(spec)));
  run_store_key_values(stream, params,
                       paged_sequences(check, args, num_rows, Arguments::PagesUsed::kOfRows));
}

void CheckedBackend::attention(Stream& stream, const AttentionArgs& args) {
  const Arguments check = arguments("attention");
  check.rank("queries", args.queries, 2);
  const KeyValueSpec& spec = args.pages.spec;
  const int64_t num_rows = args.queries.shape[0];
  check.key_values(spec);
  check.require(args.num_heads > 0 && args.num_heads % spec.num_kv_heads == 0, "num_heads",
                "is not a multiple of the key/value heads");
  check.require(args.window >= 0, "window", "is negative");
  cpu::AttentionParams params;
  params.queries = check.f32("queries", args.queries, {num_rows, args.num_heads * spec.head_dim});
  params.out = check.f32("out", args.out, {num_rows, args.num_heads * spec.value_dim});
  params.sinks = check.optional_f32("sinks", args.sinks, {args.num_heads});
  params.layout = cpu::KeyValueLayout(spec);
  params.pages = static_cast<const float*>(
      check.address("pages", args.pages.data, args.pages.num_pages * key_value_page_bytes(spec)));
  params.num_heads = args.num_heads;
  params.window = args.window;
  params.scale = args.scale;
  check.disjoint("out", args.out, "queries", args.queries);
  run_attention(
      stream, params,
      paged_sequences(check, args, num_rows, Arguments::PagesUsed::kOfWindows, args.window));
}

}  // namespace switchyard
