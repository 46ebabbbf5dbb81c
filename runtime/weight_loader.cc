#include "runtime/weight_loader.h"

#include <algorithm>

namespace switchyard {
namespace {

/// Bytes that are staged at a time: long enough for the disk, short enough to stay small.
constexpr int64_t kPieceBytes = int64_t{16} << 20;

/// Items of so many elements; the widest type decides, for a piece is held as stored and as kept.
int64_t items_per_piece(int64_t elements) {
  const int64_t bytes = std::max(int64_t{1}, elements * int64_t{sizeof(float)});
  return std::max(int64_t{1}, kPieceBytes / bytes);
}

}  // namespace

WeightLoader::WeightLoader(const Checkpoint& checkpoint, TensorSource& source, Backend& backend,
                           Communicator& communicator, Stream& compute, Stream& exchange)
    : checkpoint_(checkpoint),
      source_(source),
      backend_(backend),
      communicator_(communicator),
      compute_(compute),
      exchange_(exchange) {}

void WeightLoader::read_as(const Piece& piece, DType kept_as, DType to_dtype,
                           std::vector<char>& to) {
  const TensorEntry& entry = checkpoint_.index.at(piece.name);
  raw_.resize(static_cast<size_t>(piece.count * size_of(entry.dtype)));
  source_.read(piece.name, entry, piece.first, piece.count, raw_.data());
  if (entry.dtype != kept_as) {
    to.resize(static_cast<size_t>(piece.count * size_of(kept_as)));
    convert_elements(entry.dtype, raw_.data(), kept_as, to.data(), piece.count);
    raw_.swap(to);
  }
  to.resize(static_cast<size_t>(piece.count * size_of(to_dtype)));
  convert_elements(kept_as, raw_.data(), to_dtype, to.data(), piece.count);
}

void WeightLoader::load_dense(const std::vector<DenseSpec>& table, const ModelWeights& weights) {
  for (const DenseSpec& spec : table) load_dense_tensor(spec, weights.address(spec));
}

void WeightLoader::load_dense_tensor(const DenseSpec& spec, void* address) {
  const bool is_matrix = spec.form == DenseForm::kMatrix;
  const DType dtype = is_matrix ? spec.kept_as : DType::kF32;
  const int64_t item = is_matrix ? spec.cols : 1;  // elements that stay together
  const int64_t items = spec.rows * spec.cols / std::max(int64_t{1}, item);
  const int64_t item_bytes = item * size_of(dtype);
  const int64_t ranks = communicator_.size();
  for (int64_t begin = 0; begin < items; begin += items_per_piece(item)) {
    const int64_t count = std::min(items_per_piece(item), items - begin);
    const auto border = [&](int64_t rank) { return begin + count * rank / ranks; };
    std::vector<int64_t> bytes;
    for (int64_t rank = 0; rank < ranks; ++rank) {
      bytes.push_back((border(rank + 1) - border(rank)) * item_bytes);
    }
    const int64_t first = border(communicator_.rank());
    const int64_t mine = border(communicator_.rank() + 1) - first;
    read_as({spec.name, first * item, mine * item}, spec.kept_as, dtype, slice_);
    whole_.resize(static_cast<size_t>(count * item_bytes));
    communicator_.all_gather_v(exchange_, slice_.data(), whole_.data(), bytes,
                               {.phase = "load of dense weights"});
    backend_.record(exchange_).synchronize();
    if (is_matrix) {
      backend_.pack_weight(compute_, whole_.data(), begin, count, {spec.weight_spec(), address});
    } else {
      char* to = static_cast<char*>(address) + begin * item_bytes;
      backend_.copy_to_device(compute_, whole_.data(), {to, DType::kF32, {count}});
    }
    backend_.record(compute_).synchronize();
  }
}

void WeightLoader::load_experts(const std::vector<LayerPlacement>& placements,
                                const ExpertCache& cache) {
  const ModelConfig& config = checkpoint_.config;
  const int rank = communicator_.rank();
  size_t moe_layer = 0;
  for (const int layer : config.moe_layers()) {
    const LayerPlacement& placement = placements[moe_layer];
    for (int64_t slot = 0; slot < placement.num_local_experts(rank); ++slot) {
      const int64_t expert = placement.expert_of(placement.first_instance(rank) + slot);
      const ExpertWeights weights = cache.slot(static_cast<int>(moe_layer), slot);
      const std::string up = tensor_name(config.names.expert_up, layer, expert);
      const std::string down = tensor_name(config.names.expert_down, layer, expert);
      load_matrix(up + ".weight", weights.up);
      load_vector(up + ".bias", weights.up_bias);
      load_matrix(down + ".weight", weights.down);
      load_vector(down + ".bias", weights.down_bias);
    }
    ++moe_layer;
  }
}

void WeightLoader::load_matrix(const std::string& name, const Weight& weight) {
  const WeightSpec& spec = weight.spec;
  const int64_t step = items_per_piece(spec.cols);
  for (int64_t row = 0; row < spec.rows; row += step) {
    const int64_t rows = std::min(step, spec.rows - row);
    read_as({name, row * spec.cols, rows * spec.cols}, spec.dtype, spec.dtype, slice_);
    backend_.pack_weight(compute_, slice_.data(), row, rows, weight);
    backend_.record(compute_).synchronize();
  }
}

void WeightLoader::load_vector(const std::string& name, const TensorView& vector) {
  const DType kept_as = kept_type(checkpoint_.config, checkpoint_.index.at(name).dtype, name);
  read_as({name, 0, vector.shape.num_elements()}, kept_as, DType::kF32, slice_);
  backend_.copy_to_device(compute_, slice_.data(), vector);
  backend_.record(compute_).synchronize();
}

}  // namespace switchyard
