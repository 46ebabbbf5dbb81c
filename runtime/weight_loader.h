// From a checkpoint's files to packed weights: every byte read once per cluster.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/strided_read.h"
#include "runtime/model_weights.h"
#include "runtime/piece_reader.h"
#include "runtime/progress.h"

namespace switchyard {

/// Bytes that are staged at a time: long enough for the disk, short enough to stay small.
inline constexpr int64_t kLoadPieceBytes = int64_t{16} << 20;

/// Bytes of host memory the loader stages through at most: pieces read ahead, one as stored, one as
/// kept, one of all ranks, and the span of a strided one.
int64_t loader_staging_bytes(const std::vector<DenseSpec>& dense);

/// Loads the dense weights. Tensors are read in slices, one a reading rank, and all-gathered. Files
/// are read ahead while pieces are packed.
class WeightLoader {
 public:
  /// All references must outlive the loader. `readers` are the ranks that read dense slices, equal
  /// on every rank, at least one. `progress` may be null.
  WeightLoader(const Checkpoint& checkpoint, TensorSource& source, Backend& backend,
               Communicator& communicator, Stream& compute, Stream& exchange,
               std::vector<int> readers, ProgressSink* progress);

  /// Collective.
  void load_dense(const std::vector<DenseSpec>& table, const ModelWeights& weights);

 private:
  /// Items (matrix rows, whole matrices of heads, vector elements) of a dense tensor that are
  /// gathered together, and where each rank's slice of them begins.
  struct DenseBlock {
    const DenseSpec& spec;
    int64_t item = 1;  // elements of an item
    std::vector<int64_t> borders;
    int64_t begin() const { return borders.front(); }
    int64_t count() const { return borders.back() - borders.front(); }
  };
  std::vector<DenseBlock> dense_blocks(const std::vector<DenseSpec>& table) const;
  /// The same of matrices that the checkpoint keeps packed; items are bytes.
  std::vector<DenseBlock> packed_blocks(const std::vector<DenseSpec>& table) const;
  bool is_packed(const DenseSpec& spec) const;
  /// Items [begin, begin + count) shared out over the readers.
  DenseBlock share_out(const DenseSpec& spec, int64_t item, int64_t begin, int64_t count) const;
  void load_block(const DenseBlock& block, PieceReader& reader, void* address);
  void load_packed(const DenseBlock& block, char* address);
  /// All ranks' slices, in slice_, to whole_.
  void gather(const DenseBlock& block, int64_t item_bytes);
  /// Packs the gathered rows or heads in whole_.
  void pack_block(const DenseBlock& block, char* address);
  /// The reader's next piece, of this tensor, in slice_: rounded to the type it is kept in, then
  /// widened or kept as `to_dtype`; codes as they are.
  void take_piece(PieceReader& reader, const DenseSpec& spec, DType to_dtype);
  /// Of a matrix, as pack_weight takes it.
  static int64_t packed_item_bytes(const DenseBlock& block);
  void start_progress(const char* activity, int64_t bytes);

  const Checkpoint& checkpoint_;
  TensorSource& source_;
  Backend& backend_;
  Communicator& communicator_;
  Stream& compute_;
  Stream& exchange_;
  const std::vector<int> readers_;
  std::vector<char> slice_;
  std::vector<char> whole_;
  ProgressSink* const progress_;
  Progress done_;  // of this rank's own share
};

}  // namespace switchyard
