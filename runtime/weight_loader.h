// From a checkpoint's files to packed weights: every byte read once per cluster.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/expert_placement.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/expert_cache.h"
#include "runtime/model_weights.h"

namespace switchyard {

/// Bytes of host memory the loader stages through: a piece as stored, as kept, and of all ranks.
inline constexpr int64_t kLoaderStagingBytes = int64_t{3} * (int64_t{16} << 20);

/// Loads one rank's weights. Dense tensors are read in slices, one a rank, and all-gathered;
/// experts are read by the ranks that hold them. Collective.
class WeightLoader {
 public:
  /// All references must outlive the loader.
  WeightLoader(const Checkpoint& checkpoint, TensorSource& source, Backend& backend,
               Communicator& communicator, Stream& compute, Stream& exchange);

  void load_dense(const std::vector<DenseSpec>& table, const ModelWeights& weights);
  /// `placements[m]` and the cache's layer m belong to the m-th MoE layer of the model.
  void load_experts(const std::vector<LayerPlacement>& placements, const ExpertCache& cache);

 private:
  /// A piece of a tensor: elements [first, first + count) in row-major order.
  struct Piece {
    const std::string& name;
    int64_t first;
    int64_t count;
  };

  /// Reads a piece and rounds it to `kept_as`, then widens or keeps it as `to_dtype`.
  void read_as(const Piece& piece, DType kept_as, DType to_dtype, std::vector<char>& to);
  void load_dense_tensor(const DenseSpec& spec, void* address);
  void load_matrix(const std::string& name, const Weight& weight);
  void load_vector(const std::string& name, const TensorView& vector);

  const Checkpoint& checkpoint_;
  TensorSource& source_;
  Backend& backend_;
  Communicator& communicator_;
  Stream& compute_;
  Stream& exchange_;
  std::vector<char> raw_;
  std::vector<char> slice_;
  std::vector<char> whole_;
};

}  // namespace switchyard
