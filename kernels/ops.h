// The arguments of the operations of Backend. Letters in shapes:
//   T tokens (rows of a step)   D hidden_size   F ffn size   V vocabulary   E experts   k top_k
//   H heads   G key/value heads   d head_dim   M, N, K rows, outputs and inputs of a matmul
// All tensors are contiguous; activations are fp32, indices int32. Views point to device memory,
// std::vector members are host memory that an operation copies before it returns.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/tensor.h"
#include "kernels/weight.h"

namespace switchyard {

enum class Activation {
  kNone,
  kRelu,
  kGelu,  ///< exact: 0.5 x (1 + erf(x / sqrt 2))
};

/// The table of fairseq's sinusoidal positions (sinusoidal_positional_embedding.py): with h = D / 2
/// and w_i = exp(-i ln(10000) / (h - 1)), out[p, i] = sin(p w_i) and out[p, h + i] = cos(p w_i);
/// w_i and p w_i are rounded to fp32. An odd last column is zero.
struct SinusoidalPositionsArgs {
  TensorView out;         // [P, D]
  int64_t zero_row = -1;  // a row that is all zero (padding), -1: none
};

/// out[t] = table[ids[t]] * scale + position_table[positions[t]].
struct EmbedArgs {
  TensorView ids;             // [T] int32
  TensorView positions;       // [T] int32, rows of position_table
  Weight table;               // [V, D]
  TensorView position_table;  // [P, D] fp32
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

/// out = activation(x w^T + bias) + residual. Each output is one chain of fused multiply-adds over
/// ascending k that starts at 0; then bias, activation, residual, each rounded once.
struct MatmulArgs {
  TensorView x;     // [M, K]
  Weight w;         // [N, K]
  TensorView bias;  // [N] or empty
  Activation activation = Activation::kNone;
  TensorView residual;  // [M, N] or empty
  TensorView out;       // [M, N], may be residual, must not overlap x
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

/// Shape of one layer's key/value pages; the layout inside a page is the backend's.
struct KeyValueSpec {
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
};

/// Pages of keys and values of one layer. `data` holds num_pages * Backend::key_value_page_bytes.
struct KeyValuePages {
  KeyValueSpec spec;
  void* data = nullptr;
  int64_t num_pages = 0;
};

/// A run of consecutive rows of one sequence. Position p lives in page
/// page_table[first_page_entry + p / kKeysPerPage], at place p % kKeysPerPage.
struct SequenceRows {
  int64_t first_row = 0;  // in the row tensors of the call
  int64_t num_rows = 0;
  int64_t first_position = 0;    // of the first row
  int64_t first_page_entry = 0;  // index into page_table
  /// Positions that may be seen, at least 1: rows at later ones are padding and see just these. A
  /// run lies before or behind them.
  int64_t num_keys = std::numeric_limits<int64_t>::max();
};

/// Stores keys and values of the given rows into their pages.
struct StoreKeyValuesArgs {
  TensorView keys;    // [T, G * d]
  TensorView values;  // [T, G * d]
  std::vector<SequenceRows> sequences;
  std::vector<int32_t> page_table;
  KeyValuePages pages;
};

/// Causal attention of each row over the stored positions 0 .. its own position, as far as its
/// sequence's num_keys. The scores of a
/// page are one chain over d ascending; pages ascend with an online softmax inside a segment of
/// kKeysPerSegment keys, segments join in ascending order.
struct AttentionArgs {
  TensorView queries;  // [T, H * d]
  int64_t num_heads = 0;
  float scale = 1.0f;  // of q k^T
  std::vector<SequenceRows> sequences;
  std::vector<int32_t> page_table;
  KeyValuePages pages;
  TensorView out;  // [T, H * d]
};

/// Experts a token may go to.
inline constexpr int64_t kMaxTopK = 64;

/// What the probabilities of a token's chosen experts become as their weights.
enum class GateNorm : uint8_t {
  kNone,    ///< they are the weights
  kChosen,  ///< divided by max(their sum, FLT_EPSILON), the sum taken in order of choice
};

/// How a router turns logits into experts and weights (fairseq's top-1 and top-2 gates).
struct RouterSettings {
  int64_t num_experts = 0;
  int64_t top_k = 2;
  GateNorm norm = GateNorm::kChosen;
};

/// p = softmax(logits); the top_k largest logits in descending order, the lower index at a tie;
/// weights are p of the chosen, normalised by `settings.norm`.
struct RouteArgs {
  TensorView logits;  // [T, E]
  RouterSettings settings;
  TensorView topk_idx;      // [T, k] int32
  TensorView topk_weights;  // [T, k] fp32
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
/// expert -1.
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

/// out[i] = x[index[i]].
struct GatherRowsArgs {
  TensorView x;      // [*, D]
  TensorView index;  // [n] int32
  TensorView out;    // [n, D]
};

/// out[index[i]] = x[i]; no index stands twice.
struct ScatterRowsArgs {
  TensorView x;      // [n, D]
  TensorView index;  // [n] int32
  TensorView out;    // [*, D]
};

/// For each group g: rows [row_offsets[g], row_offsets[g + 1]) pass through experts[g]:
/// out = down(activation(up(rows))). Numbers as MatmulArgs; empty groups are allowed.
struct GroupedFfnArgs {
  TensorView rows;                     // [n, D]
  std::vector<int64_t> row_offsets;    // [groups + 1]
  std::vector<ExpertWeights> experts;  // [groups], the table of slots
  Activation activation = Activation::kGelu;
  TensorView hidden;  // [n, F] workspace
  TensorView out;     // [n, D], must not overlap rows
};

/// out[t] = residual[t] + sum over j of topk_weights[t, j] * expert_rows[t * k + j], without the
/// choices whose expert is -1. The sum is a fixed binary tree over expert ids: the terms of aligned
/// power-of-two blocks of experts are added first, lower block + upper block, so whoever holds a
/// whole block may send its partial sum.
struct CombineArgs {
  TensorView expert_rows;   // [T * k, D]
  TensorView topk_idx;      // [T, k] int32
  TensorView topk_weights;  // [T, k] fp32
  TensorView residual;      // [T, D] or empty
  TensorView out;           // [T, D], may be residual
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

/// first_row[0] = the lowest row of x that holds an infinity or NaN, else -1.
struct FindNonFiniteArgs {
  TensorView x;          // [T, D]
  TensorView first_row;  // [1] int32
};

}  // namespace switchyard
