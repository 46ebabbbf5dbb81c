#include "runtime/weight_loader.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace switchyard {
namespace {

/// Items of so many elements; the widest type decides, for a piece is held as stored and as kept.
int64_t items_per_piece(int64_t elements) {
  const int64_t bytes = std::max(int64_t{1}, elements * int64_t{sizeof(float)});
  return std::max(int64_t{1}, kLoadPieceBytes / bytes);
}

/// What is not divided between pieces: an element, a row of a matrix, or a matrix that must be
/// turned as a whole.
int64_t item_elements(const DenseSpec& spec) {
  switch (spec.form) {
    case TensorForm::kVector:
      return 1;
    case TensorForm::kTransposedHeads:
      return spec.rows / spec.heads * spec.cols;
    case TensorForm::kMatrix:
    case TensorForm::kHeads:
      break;
  }
  return spec.cols;
}

/// Writes the transpose of [rows, cols] elements of `bytes` bytes each.
void transpose(const char* from, int64_t rows, int64_t cols, int64_t bytes, char* to) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t col = 0; col < cols; ++col) {
      std::memcpy(to + (col * rows + row) * bytes, from + (row * cols + col) * bytes,
                  static_cast<size_t>(bytes));
    }
  }
}

int64_t bytes_of(const std::vector<TensorPiece>& pieces, const CheckpointIndex& index) {
  int64_t bytes = 0;
  for (const TensorPiece& piece : pieces) bytes += piece.bytes(index.at(piece.name));
  return bytes;
}

}  // namespace

int64_t loader_staging_bytes(const std::vector<DenseSpec>& dense) {
  int64_t all = 0;
  int64_t largest = 0;
  for (const DenseSpec& spec : dense) {
    const int64_t bytes = spec.rows * spec.cols * int64_t{sizeof(float)};
    all += bytes;
    largest = std::max(largest, bytes);
  }
  // A tensor that is not contiguous is gathered from a buffer of its own.
  return std::min(all, PieceReader::kAheadBytes) + 3 * std::min(largest, kLoadPieceBytes) +
         std::min(largest, kStridedStagingBytes);
}

WeightLoader::WeightLoader(const Checkpoint& checkpoint, TensorSource& source, Backend& backend,
                           Communicator& communicator, Stream& compute, Stream& exchange,
                           std::vector<int> readers, ProgressSink* progress)
    : checkpoint_(checkpoint),
      source_(source),
      backend_(backend),
      communicator_(communicator),
      compute_(compute),
      exchange_(exchange),
      readers_(std::move(readers)),
      progress_(progress) {}

void WeightLoader::take_piece(PieceReader& reader, const DenseSpec& spec, DType to_dtype) {
  const DType stored = checkpoint_.index.at(spec.name).dtype;
  const DType kept_as = spec.kept_as;
  std::vector<char> raw = reader.next();
  done_.bytes_done += static_cast<int64_t>(raw.size());
  if (progress_ != nullptr) progress_->update(done_);
  if (spec.quantization.is_given()) return slice_.swap(raw);
  const int64_t count = static_cast<int64_t>(raw.size()) / size_of(stored);
  if (stored != kept_as) {
    slice_.resize(static_cast<size_t>(count * size_of(kept_as)));
    convert_elements(stored, raw.data(), kept_as, slice_.data(), count);
    raw.swap(slice_);
  }
  if (kept_as == to_dtype) {
    slice_.swap(raw);
    return;
  }
  slice_.resize(static_cast<size_t>(count * size_of(to_dtype)));
  convert_elements(kept_as, raw.data(), to_dtype, slice_.data(), count);
}

void WeightLoader::start_progress(const char* activity, int64_t bytes) {
  done_ = {};
  done_.activity = activity;
  done_.total_bytes = bytes;
  if (progress_ != nullptr) progress_->start();
}

WeightLoader::DenseBlock WeightLoader::share_out(const DenseSpec& spec, int64_t item, int64_t begin,
                                                 int64_t count) const {
  DenseBlock block{spec, item, {begin}};
  int64_t served = 0;
  for (int rank = 0; rank < communicator_.size(); ++rank) {
    served += std::ranges::count(readers_, rank);
    block.borders.push_back(begin + count * served / static_cast<int64_t>(readers_.size()));
  }
  return block;
}

bool WeightLoader::is_packed(const DenseSpec& spec) const {
  return checkpoint_.native && checkpoint_.native->matrices.contains(spec.name);
}

std::vector<WeightLoader::DenseBlock> WeightLoader::dense_blocks(
    const std::vector<DenseSpec>& table) const {
  std::vector<DenseBlock> blocks;
  for (const DenseSpec& spec : table) {
    if (is_packed(spec)) continue;
    const int64_t item = item_elements(spec);
    const int64_t items = spec.rows * spec.cols / std::max(int64_t{1}, item);
    const int64_t step = items_per_piece(item);
    for (int64_t begin = 0; begin < items; begin += step) {
      blocks.push_back(share_out(spec, item, begin, std::min(step, items - begin)));
    }
  }
  return blocks;
}

std::vector<WeightLoader::DenseBlock> WeightLoader::packed_blocks(
    const std::vector<DenseSpec>& table) const {
  std::vector<DenseBlock> blocks;
  for (const DenseSpec& spec : table) {
    if (!is_packed(spec)) continue;
    const int64_t bytes = checkpoint_.native->matrices.at(spec.name).bytes;
    for (int64_t begin = 0; begin < bytes; begin += kLoadPieceBytes) {
      blocks.push_back(share_out(spec, 1, begin, std::min(kLoadPieceBytes, bytes - begin)));
    }
  }
  return blocks;
}

void WeightLoader::load_dense(const std::vector<DenseSpec>& table, const ModelWeights& weights) {
  const std::vector<DenseBlock> blocks = dense_blocks(table);
  const std::vector<DenseBlock> packed = packed_blocks(table);
  const auto rank = static_cast<size_t>(communicator_.rank());
  std::vector<TensorPiece> pieces;
  for (const DenseBlock& block : blocks) {
    const int64_t first = block.borders[rank];
    pieces.push_back({block.spec.name, first * block.item,
                      (block.borders[rank + 1] - first) * block.item,
                      block.spec.quantization.is_given()});
  }
  int64_t bytes = bytes_of(pieces, checkpoint_.index);
  for (const DenseBlock& block : packed) bytes += block.borders[rank + 1] - block.borders[rank];
  start_progress("loading dense weights,", bytes);
  for (const DenseBlock& block : packed) {
    load_packed(block, static_cast<char*>(weights.address(block.spec)));
  }
  PieceReader reader(source_, checkpoint_.index, std::move(pieces));
  for (const DenseBlock& block : blocks) {
    load_block(block, reader, weights.address(block.spec));
  }
}

void WeightLoader::load_packed(const DenseBlock& block, char* address) {
  const PackedExtent& whole = checkpoint_.native->matrices.at(block.spec.name);
  const auto rank = static_cast<size_t>(communicator_.rank());
  const int64_t mine = block.borders[rank + 1] - block.borders[rank];
  slice_.resize(static_cast<size_t>(mine));
  source_.read_packed({whole.file, whole.offset + block.borders[rank], mine, 0}, slice_.data(),
                      concat("matrix ", block.spec.name));
  done_.bytes_done += mine;
  if (progress_ != nullptr) progress_->update(done_);
  gather(block, 1);
  backend_.copy_to_device(compute_, whole_.data(),
                          {address + block.begin(), DType::kU8, {block.count()}});
  backend_.record(compute_).synchronize();
}

void WeightLoader::gather(const DenseBlock& block, int64_t item_bytes) {
  std::vector<int64_t> bytes;
  for (size_t rank = 0; rank + 1 < block.borders.size(); ++rank) {
    bytes.push_back((block.borders[rank + 1] - block.borders[rank]) * item_bytes);
  }
  whole_.resize(static_cast<size_t>(block.count() * item_bytes));
  communicator_.all_gather_v(exchange_, slice_.data(), whole_.data(), bytes,
                             {.phase = "load of dense weights"});
  backend_.record(exchange_).synchronize();
}

int64_t WeightLoader::packed_item_bytes(const DenseBlock& block) {
  const DenseSpec& spec = block.spec;
  // Where codes are given an item is a row.
  return spec.quantization.is_given() ? spec.weight_spec().source_row_bytes()
                                      : block.item * size_of(spec.kept_as);
}

void WeightLoader::load_block(const DenseBlock& block, PieceReader& reader, void* address) {
  const DenseSpec& spec = block.spec;
  const bool is_vector = spec.form == TensorForm::kVector;
  const DType dtype = is_vector ? DType::kF32 : spec.kept_as;
  const int64_t item_bytes = is_vector ? block.item * size_of(dtype) : packed_item_bytes(block);
  take_piece(reader, spec, dtype);
  gather(block, item_bytes);
  if (is_vector) {
    char* to = static_cast<char*>(address) + block.begin() * item_bytes;
    backend_.copy_to_device(compute_, whole_.data(), {to, DType::kF32, {block.count()}});
  } else {
    pack_block(block, static_cast<char*>(address));
  }
  backend_.record(compute_).synchronize();
}

void WeightLoader::pack_block(const DenseBlock& block, char* address) {
  const DenseSpec& spec = block.spec;
  const WeightSpec packed = spec.weight_spec();
  const int64_t head_bytes = spec.device_bytes / spec.heads;
  const int64_t item_bytes = packed_item_bytes(block);
  if (spec.form == TensorForm::kTransposedHeads) {
    slice_.resize(whole_.size());
    for (int64_t i = 0; i < block.count(); ++i) {
      char* turned = slice_.data() + i * item_bytes;
      transpose(whole_.data() + i * item_bytes, packed.cols, packed.rows, size_of(spec.kept_as),
                turned);
      backend_.pack_weight(compute_, turned, 0, packed.rows,
                           {packed, address + (block.begin() + i) * head_bytes});
    }
    return;
  }
  for (int64_t row = block.begin(); row < block.begin() + block.count();) {
    const int64_t head = row / packed.rows;
    const int64_t end = std::min((head + 1) * packed.rows, block.begin() + block.count());
    backend_.pack_weight(compute_, whole_.data() + (row - block.begin()) * item_bytes,
                         row - head * packed.rows, end - row,
                         {packed, address + head * head_bytes});
    row = end;
  }
}

}  // namespace switchyard
