// Attention of one layer over a block of a step's rows.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "runtime/model_config.h"
#include "runtime/model_weights.h"
#include "runtime/workspace.h"

namespace switchyard {

/// The sequences of a step as attention sees them.
struct AttentionRows {
  std::vector<SequenceRows> sequences;
  /// By cache group; in each the tables of the sequences one after another, as long in one group as
  /// in the others.
  std::vector<std::vector<int32_t>> page_tables;
  /// By cache group, in place of all else, where every row goes on with a sequence of its own and
  /// the device holds their tables; empty: it does not.
  std::vector<DecodeRows> decode;
};

/// What attention works with. All references must outlive it.
struct AttentionParts {
  const ModelConfig& config;
  const Workspace& workspace;
  /// Pages of each layer by cache group that are kept from step to step; empty: none.
  const std::vector<int64_t>& cache_pages;
  Backend& backend;
  Stream& compute;
};

/// Projections, rotation, keys and values into their pages, attention, output: every kind of
/// attention is a setting of this.
class AttentionLayer {
 public:
  explicit AttentionLayer(const AttentionParts& parts);

  /// Adds the attention of rows [first_row, first_row + num_rows) of `rows` to `hidden`, given
  /// their input `x`; both [num_rows, D]. Earlier rows of their sequences have been through.
  void run(int layer, const AttentionWeights& weights, const AttentionRows& rows, int64_t first_row,
           const TensorView& x, const TensorView& hidden);

  /// Number of the group whose page table a layer uses.
  size_t group_of(int layer) const { return group_of_[static_cast<size_t>(layer)]; }

 private:
  /// One call's arguments.
  struct Block {
    int layer = 0;
    const AttentionWeights& weights;
    int64_t first_row = 0;
    int64_t num_rows = 0;
    TensorView x;
    TensorView hidden;
  };
  struct KeysAndValues {
    TensorView queries, keys, values;
  };

  KeysAndValues project_heads(const Block& block);
  KeysAndValues project_latent(const Block& block);
  TensorView latent_queries(const Block& block);
  KeysAndValues expand(const Block& block, const TensorView& queries, const TensorView& latent);
  KeysAndValues absorb(const Block& block, const TensorView& queries, const TensorView& latent);
  void finish(const Block& block, TensorView attended);

  TensorView multiply(const TensorView& x, const LinearWeights& weights, BufferId to);
  void normalize(const HeadColumns& x, const TensorView& gain, float eps);
  void rotate(const Block& block, const HeadColumns& x, const HeadColumns& out);
  void head_norms(const Block& block, const TensorView& queries, const TensorView& keys);
  KeyValuePages pages_of(int layer) const;

  AttentionParts p_;
  std::vector<size_t> group_of_;      // by layer
  std::vector<int64_t> first_pages_;  // by layer, of the kept pages
};

}  // namespace switchyard
