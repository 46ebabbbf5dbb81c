// The arguments of the operations of Backend. Letters in shapes:
//   T tokens (rows of a step)   D hidden_size   F ffn size   V vocabulary   E experts   k top_k
//   H heads   G key/value heads   d head_dim   M, N, K rows, outputs and inputs of a matmul
// All tensors are contiguous; activations are fp32, indices int32. Views point to device memory,
// std::vector members are host memory that an operation copies before it returns.
#pragma once

#include <cfloat>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace switchyard {

enum class Activation {
  kNone,
  kRelu,
  kGelu,      ///< exact: 0.5 x (1 + erf(x / sqrt 2))
  kGeluTanh,  ///< 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  kSilu,      ///< x / (1 + exp(-x))
  kTanh,
};

/// How the rows of a feed-forward's first matrix are used.
enum class GluLayout : uint8_t {
  kNone,         ///< [F, D]: hidden = activation(x w^T + b)
  kHalves,       ///< [2 F, D]: F rows of the gate, then F of the linear part
  kInterleaved,  ///< [2 F, D]: a row of the gate, a row of the linear part, and so on
};

/// What stands between the two matrices of a feed-forward. With a gate g and a linear part u:
/// hidden = (u + up_offset) * activation(g), where kSilu is g / (1 + exp(-gate_scale g)), after
/// g = min(g, limit) and u = max(-limit, min(u, limit)) if there is a limit (gpt-oss: limit 7,
/// gate_scale 1.702, up_offset 1). The sum, where up_offset is not 0, and the product are rounded
/// once each; NaN passes the limits.
struct FfnForm {
  Activation activation = Activation::kGelu;
  GluLayout glu = GluLayout::kNone;
  // The others are for gates only:
  float limit = 0.0f;       // 0: none
  float gate_scale = 1.0f;  // of kSilu only
  float up_offset = 0.0f;

  /// Rows of the first matrix for each hidden unit.
  int64_t rows_per_unit() const { return glu == GluLayout::kNone ? 1 : 2; }
  friend bool operator==(const FfnForm&, const FfnForm&) = default;
};

/// The table of fairseq's sinusoidal positions (sinusoidal_positional_embedding.py): with h = D / 2
/// and w_i = exp(-i ln(10000) / (h - 1)), out[p, i] = sin(p w_i) and out[p, h + i] = cos(p w_i);
/// w_i and p w_i are rounded to fp32. An odd last column is zero.
struct SinusoidalPositionsArgs {
  TensorView out;         // [P, D]
  int64_t zero_row = -1;  // a row that is all zero (padding), -1: none
};

/// out[t] = table[ids[t]] * scale + position_table[positions[t]]; without a position table just
/// table[ids[t]] * scale.
struct EmbedArgs {
  TensorView ids;             // [T] int32
  TensorView positions;       // [T] int32, rows of position_table
  Weight table;               // [V, D]
  TensorView position_table;  // [P, D] fp32 or empty
  float scale = 1.0f;
  TensorView out;  // [T, D]
};

/// out = (x - mean) / sqrt(variance + eps) * gamma + beta, per row, statistics over D in fp32.
struct LayerNormArgs {
  TensorView x;      // [T, D]
  TensorView gamma;  // [D]
  TensorView beta;   // [D]
  float eps = 1e-5f;
  TensorView out;  // [T, D], may be x
};

/// Some columns of each head of a row tensor: of head h, columns [h * width + first_column, ...),
/// width = rows.shape[1] / num_heads.
struct HeadColumns {
  TensorView rows;  // [T, num_heads * width]
  int64_t num_heads = 1;
  int64_t first_column = 0;

  int64_t width() const { return rows.shape[1] / num_heads; }
};

/// y = x / sqrt(mean(x^2) + eps) * gamma over D columns of each head of each row, the mean in fp32:
/// the norm of whole rows (one head), of each attention head, or of a row's first columns. Other
/// columns stay.
struct RmsNormArgs {
  HeadColumns x;
  TensorView gamma;  // [D]
  float eps = 1e-6f;
  HeadColumns out;  // as many heads; the same columns as x, or must not overlap x
};

/// out = activation(x w^T + bias) * scale + residual. Each output is one chain of fused
/// multiply-adds over ascending k that starts at 0; then bias, activation, scale (where it is not
/// 1), residual, each rounded once.
struct MatmulArgs {
  TensorView x;     // [M, K]
  Weight w;         // [N, K]
  TensorView bias;  // [N] or empty
  Activation activation = Activation::kNone;
  TensorView residual;  // [M, N] or empty
  TensorView out;       // [M, N], may be residual, must not overlap x
  float scale = 1.0f;
};

/// out = the hidden units of a gated feed-forward: see FfnForm, glu is not kNone.
struct GluArgs {
  TensorView x;  // [T, 2 F]
  FfnForm form;
  TensorView out;  // [T, F], must not overlap x
};

/// x = max(-limit, min(x, limit)); NaN stays.
struct ClampArgs {
  TensorView x;        // any shape, in and out
  float limit = 0.0f;  // not below 0
};

/// out[t, h] = x[t, h] weights[h]^T for each head h, on K columns of x and N of out. An x of one
/// head serves all heads. Numbers as MatmulArgs.
struct HeadsMatmulArgs {
  HeadColumns x;
  std::vector<Weight> weights;  // [H], each [N, K]
  HeadColumns out;              // H heads; must not overlap x
};

/// cos and sin of the rotary angles of each row: with a = fp32(positions[t] * frequencies[s, i])
/// and s = frequency_set[t], out[t, i] = cos(a) * scales[s], out[t, h + i] = sin(a) * scales[s].
/// Sine and cosine are those of the fp32 angle, right to the last bit but for rare cases, up to
/// 2^40.
struct RopeTableArgs {
  TensorView positions;      // [T] int32
  TensorView frequency_set;  // [T] int32
  TensorView frequencies;    // [S, h]
  TensorView scales;         // [S]
  TensorView out;            // [T, 2 h]
};

/// Which entries of a head rotate together.
enum class RopeLayout : uint8_t {
  kHalves,       ///< i and h + i (rotate_half)
  kInterleaved,  ///< 2 i and 2 i + 1
};

/// Rotates 2 h columns of each head: (a, b) -> (a cos - b sin, b cos + a sin). Where x has one head
/// and out several, each head of out gets the rotated columns. Other columns stay.
struct RopeArgs {
  HeadColumns x;
  TensorView table;  // [T, 2 h], by RopeTableArgs
  RopeLayout layout = RopeLayout::kHalves;
  HeadColumns out;  // the same columns as x, or must not overlap x
};

/// Positions in one page of the key/value store; also the key block of attention (64 keys: four
/// 16-lane vectors of scores).
inline constexpr int64_t kKeysPerPage = 64;

/// Pages that `positions` positions fill.
inline constexpr int64_t pages_of(int64_t positions) {
  return (positions + kKeysPerPage - 1) / kKeysPerPage;
}

/// Keys whose partial results attention joins as one segment (16 pages).
inline constexpr int64_t kKeysPerSegment = 1024;

/// Where attention finds the values.
enum class ValueSource : uint8_t {
  kOwn,        ///< stored beside the keys
  kKeyPrefix,  ///< the first value_dim entries of each key (latent attention's absorbed form)
};

/// Shape of one layer's key/value pages; the layout inside a page is the backend's.
struct KeyValueSpec {
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;   // of a key
  int64_t value_dim = 0;  // of a value
  ValueSource values = ValueSource::kOwn;
};

/// Pages of keys and values of one layer. `data` holds num_pages * Backend::key_value_page_bytes.
struct KeyValuePages {
  KeyValueSpec spec;
  void* data = nullptr;
  int64_t num_pages = 0;
};

/// A run of consecutive rows of one sequence. Position p lives in page
/// page_table[first_page_entry + p / kKeysPerPage], at place p % kKeysPerPage. Pages before every
/// row's window may be -1.
struct SequenceRows {
  int64_t first_row = 0;  // in the row tensors of the call
  int64_t num_rows = 0;
  int64_t first_position = 0;    // of the first row
  int64_t first_page_entry = 0;  // index into page_table
  /// Positions that may be seen, at least 1: rows at later ones are padding and see just these. A
  /// run lies before or behind them.
  int64_t num_keys = std::numeric_limits<int64_t>::max();
};

/// Rows that each go on with a sequence of its own, as the device finds them when it comes to them:
/// row t stands at positions[t], and position p of its sequence lies in page
/// page_table[t, p / kKeysPerPage]. They take the place of `sequences` and `page_table` in calls
/// that are recorded. No host can check them.
struct DecodeRows {
  TensorView positions;   // [T] int32
  TensorView page_table;  // [T, pages] int32; -1: passed by the row's window, or not needed

  bool are_given() const { return positions.data != nullptr; }
};

/// Stores keys and values of the given rows into their pages.
struct StoreKeyValuesArgs {
  TensorView keys;    // [T, G * d]
  TensorView values;  // [T, G * value_dim]; empty with ValueSource::kKeyPrefix
  std::vector<SequenceRows> sequences;
  std::vector<int32_t> page_table;
  KeyValuePages pages;
  DecodeRows decode_rows = {};
};

/// Causal attention of each row over the stored positions 0 .. its own position, as far as its
/// sequence's num_keys; with a window W over the last W of them, its own included. The scores of a
/// page are one chain over d ascending; pages ascend with an online softmax inside a segment of
/// kKeysPerSegment keys, segments join in ascending order. Keys that a row does not see change no
/// bit of its result. A sink is one more score of its head, not scaled, that has no value: it joins
/// behind the last segment and adds to the sum alone.
struct AttentionArgs {
  TensorView queries;  // [T, H * d]
  int64_t num_heads = 0;
  float scale = 1.0f;  // of q k^T
  std::vector<SequenceRows> sequences;
  std::vector<int32_t> page_table;
  KeyValuePages pages;
  TensorView out;         // [T, H * value_dim]
  int64_t window = 0;     // 0: all positions
  TensorView sinks = {};  // [H] or empty
  DecodeRows decode_rows = {};
};

/// Experts a token may go to.
inline constexpr int64_t kMaxTopK = 64;

/// What a router makes of its logits, for every expert.
enum class GateScore : uint8_t {
  kSoftmax,  ///< over all experts
  kSigmoid,
  kLogits,  ///< the logits themselves
};

/// How the experts of a token are chosen.
enum class GateSelector : uint8_t {
  kTopK,
  /// Phi-3.5-MoE (modeling_phimoe.py, sparsemixer): of the logits s the largest, m; its weight is
  /// its softmax without those with (m - s) / max(|s|, m) > 2 * jitter (0 / 0 stays); then the same
  /// again without the first. For top_k 2 and kLogits, without groups and selection bias; the
  /// model's norm is kNone.
  kSparseMixer,
};

/// What decides which groups of experts stay.
enum class GroupScore : uint8_t {
  kLargest,  ///< the largest score of the group
  kTopTwo,   ///< the sum of its two largest, or the score of its only expert
};

/// What the scores of a token's chosen experts become as their weights.
enum class GateNorm : uint8_t {
  kNone,     ///< they are the weights
  kChosen,   ///< divided by max(sum + norm_add, norm_floor), the sum taken in order of choice
  kSoftmax,  ///< the softmax of the chosen logits, whatever the scores
  kOnes,     ///< each is 1
};

/// How a router turns logits into experts and weights.
struct RouterSettings {
  int64_t num_experts = 0;
  int64_t top_k = 2;
  GateNorm norm = GateNorm::kChosen;
  GateScore score = GateScore::kSoftmax;
  GateSelector selector = GateSelector::kTopK;
  int64_t num_groups = 1;   // of equally many consecutive experts
  int64_t kept_groups = 1;  // together of at least top_k experts; those of others are never chosen
  GroupScore group_score = GroupScore::kLargest;
  float norm_floor = FLT_EPSILON;
  float norm_add = 0.0f;
  float jitter = 0.0f;  // of the sparse mixer

  friend bool operator==(const RouterSettings&, const RouterSettings&) = default;
};

/// s = score(logits), c = s + selection_bias; the kept_groups groups of the largest group score (of
/// c), then the top_k largest c of their experts in descending order, the lower index at a tie of
/// either; weights are s of the chosen, normalised by `settings.norm`, times `scale`. Without a
/// bias and kTopTwo groups c is the logit itself: scores that only rounding made equal are no tie.
/// Where a logit is NaN, all weights of its row are; the experts are distinct and valid even so.
struct RouteArgs {
  TensorView logits;  // [T, E]
  RouterSettings settings;
  TensorView topk_idx;             // [T, k] int32
  TensorView topk_weights;         // [T, k] fp32
  TensorView selection_bias = {};  // [E] or empty
  float scale = 1.0f;
};

/// Which of a batch's rows an expert serves first.
enum class SlotOrder : uint8_t {
  kRows,         ///< in the order of the rows
  kProbability,  ///< by descending probability of a row's first choice, the earlier row at a tie
};

/// When GateNorm::kChosen divides.
enum class NormOrder : uint8_t {
  kBeforeDropping,  ///< a survivor keeps its share
  kAfterDropping,   ///< by the sum of the survivors: one that survives alone weighs 1
};

/// Rows [first_row, first_row + num_rows) that compete for the slots of every expert.
struct CapacityBatch {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int64_t capacity = 0;  // slots of each expert
};

/// Drops what exceeds the experts' capacity (fairseq, top2gate.py and top1gate.py). Within a batch
/// first choices take slots 0, 1, ... of their expert in the given order; second choices go on
/// after all first choices of the batch, and so on. A choice whose slot is not below the capacity
/// is dropped: weight 0. Masked rows take no slot and are dropped. A choice of weight 0 gets the
/// expert -1. `norm` is kNone, or kChosen with the norm_floor FLT_EPSILON and no norm_add.
struct ApplyCapacityArgs {
  TensorView topk_idx;      // [T, k] int32; in: the choices of route(); out: -1 where weight is 0
  TensorView topk_weights;  // [T, k] fp32; in: p of the choices; out: their weights
  TensorView mask;          // [T] int32: rows with 1 are not routed
  std::vector<CapacityBatch> batches;  // cover the rows [0, T) in ascending order
  int64_t num_experts = 0;
  GateNorm norm = GateNorm::kChosen;
  NormOrder norm_order = NormOrder::kAfterDropping;
  SlotOrder slot_order = SlotOrder::kRows;
  TensorView slots;  // [T, k] int32 out: slot in its expert, also of dropped choices; -1: masked
};

/// As an index: the row is left out.
inline constexpr int32_t kNoRow = -1;

/// out[i] = x[index[i]]; where that is kNoRow, out[i] stays as it is.
struct GatherRowsArgs {
  TensorView x;      // [*, D]
  TensorView index;  // [n] int32
  TensorView out;    // [n, D]
};

/// out[index[i]] = x[i / copies], without those whose index is kNoRow; no other stands twice.
struct ScatterRowsArgs {
  TensorView x;      // [n / copies, D]
  TensorView index;  // [n] int32
  TensorView out;    // [*, D]
  int64_t copies = 1;
};

/// Slots of equal size, one for each rank, in which the rows of an exchange travel when nobody but
/// the device counts them. A slot begins with header_rows rows that hold, as int32, how many rows
/// go to each of the receiver's instances of experts; these rows follow by ascending instance; what
/// stands behind them means nothing.
struct PaddedSlots {
  TensorView rows;  // [ranks * slot_rows, D]
  int64_t num_ranks = 0;
  int64_t header_rows = 0;

  /// Rows of D numbers that hold the counts of so many instances.
  static int64_t header_rows_for(int64_t instances, int64_t width) {
    return (instances + width - 1) / width;
  }
  int64_t slot_rows() const { return rows.shape[0] / num_ranks; }
  /// Rows besides the headers.
  int64_t num_payload_rows() const { return rows.shape[0] - num_ranks * header_rows; }
};

/// Finds a row in the slots for each choice of a step, by a stable counting sort over instances,
/// and writes the headers.
struct PlaceCopiesArgs {
  TensorView topk_idx;            // [T, k] int32 experts, -1: none. T may be 0
  TensorView instance_of_expert;  // [E] int32; instances are numbered rank by rank
  TensorView first_instance;      // [ranks + 1] int32: those of rank r end where r + 1 begins
  PaddedSlots slots;              // slot_rows >= header_rows + T * k
  TensorView places;              // [T * k] int32 out: in slots.rows; kNoRow: none
};

/// Groups the rows that arrived in the slots of all ranks by instance, within it by rank.
struct GroupArrivalsArgs {
  PaddedSlots slots;        // slot r came from rank r
  TensorView row_offsets;   // [instances of this rank + 1] int32 out
  TensorView grouped_from;  // [num_payload_rows] int32 out: in slots.rows, kNoRow behind the last
};

/// For each group g: rows [row_offsets[g], row_offsets[g + 1]) pass through experts[g]:
/// out = down(form(up(rows))). Numbers as MatmulArgs; empty groups are allowed, and experts of
/// different F. With offsets in device memory, which the host does not know, all experts are of one
/// shape and type, and n is what the last offset may be at most.
struct GroupedFfnArgs {
  TensorView rows;                     // [n, D]
  std::vector<int64_t> row_offsets;    // [groups + 1]; empty with device_offsets
  std::vector<ExpertWeights> experts;  // [groups], the table of slots
  FfnForm form;
  TensorView hidden;               // workspace: [n, rows of the largest `up` or more]
  TensorView out;                  // [n, D], must not overlap rows
  TensorView device_offsets = {};  // [groups + 1] int32, or empty
};

/// out[t] = residual[t] + sum over j of topk_weights[t, j] * expert_rows[t * k + j], without the
/// choices whose expert is -1. The sum is a fixed binary tree over expert ids: the terms of aligned
/// power-of-two blocks of experts are added first, lower block + upper block, so whoever holds a
/// whole block may send its partial sum. With a shared expert or a branch scale:
/// out[t] = residual[t] + branch_scale * (sum + sigmoid(shared_gate[t]) * shared[t]). Every product
/// and every sum is rounded once, from the inside outwards; parts that are absent round nothing.
struct CombineArgs {
  TensorView expert_rows;       // [T * k, D]
  TensorView topk_idx;          // [T, k] int32
  TensorView topk_weights;      // [T, k] fp32
  TensorView residual;          // [T, D] or empty
  TensorView out;               // [T, D], may be residual
  TensorView shared = {};       // [T, D] or empty: what the shared expert gave
  TensorView shared_gate = {};  // [T, 1] logits, or empty: 1 takes the sigmoid's place
  float branch_scale = 1.0f;
};

/// Vocabulary entries whose exponentials log_probs sums as one segment.
inline constexpr int64_t kVocabularyPerSegment = 8192;

/// Log-softmax of each row over V at chosen places. Each segment of kVocabularyPerSegment logits
/// gives (maximum, sum of exp(x - maximum)) in a fixed lane order; segments join ascending.
struct LogProbsArgs {
  TensorView logits;        // [T, V]
  TensorView targets;       // [T] int32
  TensorView logprobs;      // [T] fp32: log p(target)
  TensorView greedy;        // [T] int32: the largest log-prob, the lower id at a tie
  TensorView top_ids;       // [T, n] int32 or empty: best first, the lower id at a tie
  TensorView top_logprobs;  // [T, n] fp32 or empty
};

/// How a token is drawn from a row of logits.
struct SampleSettings {
  float temperature = 0.0f;  // 0: the largest logit, the lower id at a tie
  int32_t top_k = 0;         // 0: all
  float top_p = 1.0f;        // 1: all
  float uniform = 0.0f;      // the random number, in [0, 1)
  bool is_eos_banned = false;
};

/// tokens[t] = one token of each row. In descending order of the logits, the lower id at a tie: the
/// first top_k tokens, the fewest first ones of these whose odds reach top_p times their sum (one
/// at least), and of those the first at which the running sum of odds passes uniform times their
/// sum. Odds are exp((logit - largest logit) / temperature), rounded down to multiples of 2^-42 and
/// added exactly; top_p and uniform times a sum are rounded to double precision. Banned tokens are
/// left out before all this. A row with a NaN, or whose largest logit is not finite, gives the
/// lowest id that is not banned: log_probs tells of such rows.
struct SampleArgs {
  TensorView logits;                 // [T, V], V at most 2^20
  std::vector<SampleSettings> rows;  // [T]
  std::vector<int32_t> eos_ids;      // what is_eos_banned leaves out: below V, any order
  TensorView tokens;                 // [T] int32
  /// What is left out of every row: below V, any order, with the eos_ids not all there are.
  std::vector<int32_t> banned_ids = {};
};

/// first_row[0] = the lowest row of x that holds an infinity or NaN, else -1.
struct FindNonFiniteArgs {
  TensorView x;          // [T, D]
  TensorView first_row;  // [1] int32
};

}  // namespace switchyard
