#include <memory>
#include <utility>
#include <vector>

#include "kernels/checked_backend.h"
#include "kernels/cpu/capacity.h"
#include "kernels/cpu/combine.h"
#include "kernels/cpu/glu.h"
#include "kernels/cpu/grouped_ffn_driver.h"
#include "kernels/cpu/route.h"

namespace switchyard {
namespace {

// What only gated forms have must not be asked of others.
void check_form(const Arguments& check, const FfnForm& form) {
  const bool is_plain = form.limit == 0.0f && form.gate_scale == 1.0f && form.up_offset == 0.0f;
  check.require(form.glu != GluLayout::kNone || is_plain, "form", "has no gate to limit or scale");
  check.require(form.activation == Activation::kSilu || form.gate_scale == 1.0f, "form",
                "scales the gate of an activation that is not silu");
}

void check_router(const Arguments& check, const RouteArgs& args) {
  const RouterSettings& s = args.settings;
  check.require(s.top_k >= 1 && s.top_k <= s.num_experts, "top_k", "is not in 1 .. num_experts");
  check.require(s.num_groups >= 1 && s.num_experts % s.num_groups == 0, "num_groups",
                "does not divide num_experts");
  check.require(s.kept_groups >= 1 && s.kept_groups <= s.num_groups, "kept_groups",
                "is not in 1 .. num_groups");
  check.require(s.kept_groups * (s.num_experts / s.num_groups) >= s.top_k, "kept_groups",
                "hold fewer experts than top_k");
  if (s.selector == GateSelector::kTopK) return;
  const bool is_plain =
      s.score == GateScore::kLogits && s.num_groups == 1 && args.selection_bias.data == nullptr;
  check.require(s.top_k == 2 && is_plain, "selector",
                "is the sparse mixer, which chooses 2 by their logits, without groups and bias");
}

/// The parts of slots of equal size.
cpu::SlotLayout check_slots(const Arguments& check, const PaddedSlots& slots) {
  check.rank("slots", slots.rows, 2);
  const int64_t rows = slots.rows.shape[0];
  check.require(slots.num_ranks >= 1 && rows % slots.num_ranks == 0, "slots",
                "are not of one size");
  check.require(slots.header_rows >= 0 && slots.header_rows <= slots.slot_rows(), "header_rows",
                "are not in the slots");
  return {.rows = check.f32("slots", slots.rows, {rows, slots.rows.shape[1]}),
          .num_ranks = slots.num_ranks,
          .slot_rows = slots.slot_rows(),
          .header_rows = slots.header_rows,
          .width = slots.rows.shape[1]};
}

/// Offsets that the host does not know.
const int32_t* check_device_offsets(const Arguments& check, const GroupedFfnArgs& args) {
  const auto groups = static_cast<int64_t>(args.experts.size());
  check.require(args.row_offsets.empty(), "row_offsets", "stand beside device_offsets");
  for (const ExpertWeights& expert : args.experts) {
    check.require(
        expert.up.spec == args.experts[0].up.spec && expert.down.spec == args.experts[0].down.spec,
        "experts", "are not of one shape, as device_offsets need");
  }
  return check.i32("device_offsets", args.device_offsets, {groups + 1});
}

}  // namespace

void CheckedBackend::glu(Stream& stream, const GluArgs& args) {
  const Arguments check = arguments("glu");
  check.rank("out", args.out, 2);
  cpu::GluParams params;
  params.form = args.form;
  params.num_rows = args.out.shape[0];
  params.units = args.out.shape[1];
  check_form(check, args.form);
  check.require(args.form.glu != GluLayout::kNone, "form", "has no gate");
  check.disjoint("out", args.out, "x", args.x);
  params.x = check.f32("x", args.x, {params.num_rows, 2 * params.units});
  params.out = check.f32("out", args.out, {params.num_rows, params.units});
  run_glu(stream, params);
}

void CheckedBackend::route(Stream& stream, const RouteArgs& args) {
  const Arguments check = arguments("route");
  check.rank("logits", args.logits, 2);
  const int64_t tokens = args.logits.shape[0];
  const int64_t experts = args.settings.num_experts;
  const int64_t top_k = args.settings.top_k;
  check_router(check, args);
  cpu::RouteParams params;
  params.logits = check.f32("logits", args.logits, {tokens, experts});
  params.selection_bias = check.optional_f32("selection_bias", args.selection_bias, {experts});
  params.topk_idx = check.i32("topk_idx", args.topk_idx, {tokens, top_k});
  params.topk_weights = check.f32("topk_weights", args.topk_weights, {tokens, top_k});
  params.num_tokens = tokens;
  params.settings = args.settings;
  params.scale = args.scale;
  run_route(stream, params);
}

void CheckedBackend::apply_capacity(Stream& stream, const ApplyCapacityArgs& args) {
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
  check.require(args.norm == GateNorm::kNone || args.norm == GateNorm::kChosen, "norm",
                "is not one of probabilities");
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
  run_apply_capacity(stream, params, args.batches);
}

void CheckedBackend::place_copies(Stream& stream, const PlaceCopiesArgs& args) {
  const Arguments check = arguments("place_copies");
  cpu::PlaceCopiesParams params;
  params.num_copies = args.topk_idx.shape.num_elements();
  params.num_experts = args.instance_of_expert.shape.num_elements();
  params.slots = check_slots(check, args.slots);
  check.require(params.slots.header_rows + params.num_copies <= params.slots.slot_rows, "slots",
                "have too few rows");
  params.topk_idx = check.i32("topk_idx", args.topk_idx, args.topk_idx.shape);
  params.instance_of_expert =
      check.i32("instance_of_expert", args.instance_of_expert, {params.num_experts});
  params.first_instance =
      check.i32("first_instance", args.first_instance, {params.slots.num_ranks + 1});
  params.places = check.i32("places", args.places, {params.num_copies});
  run_place_copies(stream, params);
}

void CheckedBackend::group_arrivals(Stream& stream, const GroupArrivalsArgs& args) {
  const Arguments check = arguments("group_arrivals");
  cpu::GroupArrivalsParams params;
  params.slots = check_slots(check, args.slots);
  params.num_rows = args.slots.num_payload_rows();
  params.num_instances = args.row_offsets.shape.num_elements() - 1;
  check.require(params.num_instances >= 0 &&
                    params.num_instances <= params.slots.header_rows * params.slots.width,
                "row_offsets", "are not those of the headers' instances");
  params.row_offsets = check.i32("row_offsets", args.row_offsets, {params.num_instances + 1});
  params.grouped_from = check.i32("grouped_from", args.grouped_from, {params.num_rows});
  run_group_arrivals(stream, params);
}

void CheckedBackend::grouped_ffn(Stream& stream, const GroupedFfnArgs& args) {
  const Arguments check = arguments("grouped_ffn");
  check.rank("rows", args.rows, 2);
  check.rank("hidden", args.hidden, 2);
  const int64_t rows = args.rows.shape[0];
  const int64_t width = args.rows.shape[1];
  const int64_t hidden_width = args.hidden.shape[1];
  const bool is_counted_on_device = args.device_offsets.data != nullptr;
  if (!is_counted_on_device) {
    check.group_offsets(args.row_offsets, static_cast<int64_t>(args.experts.size()), rows);
  }
  check.disjoint("out", args.out, "rows", args.rows);
  check_form(check, args.form);
  auto call = std::make_shared<cpu::GroupedFfnCall>();
  call->row_offsets = args.row_offsets;
  for (const ExpertWeights& expert : args.experts) {
    const int64_t ffn = expert.down.spec.cols;
    const int64_t up_rows = ffn * args.form.rows_per_unit();
    check.require(up_rows <= hidden_width, "hidden", "is narrower than an expert's up matrix");
    call->experts.push_back(
        {.up = check.weight("up", expert.up, up_rows, width, packed_bytes(expert.up.spec)),
         .up_bias = check.optional_f32("up_bias", expert.up_bias, {up_rows}),
         .down = check.weight("down", expert.down, width, ffn, packed_bytes(expert.down.spec)),
         .down_bias = check.optional_f32("down_bias", expert.down_bias, {width})});
  }
  cpu::HostGroupedFfn& host = call->args;
  host.rows = check.f32("rows", args.rows, {rows, width});
  host.hidden = check.f32("hidden", args.hidden, {rows, hidden_width});
  host.hidden_width = hidden_width;
  host.out = check.f32("out", args.out, {rows, width});
  host.row_offsets = call->row_offsets.data();
  if (is_counted_on_device) {
    check.require(takes_device_offsets(), "device_offsets", "are not for this class");
    call->device_offsets = check_device_offsets(check, args);
    host.row_offsets = nullptr;
  }
  host.experts = call->experts.data();
  host.num_groups = static_cast<int64_t>(call->experts.size());
  host.form = args.form;
  call->num_rows = rows;
  if (rows == 0 || host.num_groups == 0) return;
  run_grouped_ffn(stream, std::move(call));
}

void CheckedBackend::combine(Stream& stream, const CombineArgs& args) {
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
  params.shared = check.optional_f32("shared", args.shared, {tokens, width});
  params.shared_gate = check.optional_f32("shared_gate", args.shared_gate, {tokens, 1});
  check.require(args.shared.data != nullptr || args.shared_gate.data == nullptr, "shared_gate",
                "stands without a shared expert");
  params.branch_scale = args.branch_scale;
  params.out = check.f32("out", args.out, {tokens, width});
  params.num_tokens = tokens;
  params.top_k = top_k;
  params.width = width;
  run_combine(stream, params);
}

}  // namespace switchyard
