#include "runtime/expert_reader.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/steady_seconds.h"
#include "runtime/model_weights.h"

namespace switchyard {
namespace {

/// Bytes that are read and packed at a time: long enough for the disk, short enough that what was
/// read is still in the cache when it is packed.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

/// Bytes of a row as stored or as kept, whichever is more.
int64_t row_bytes(const WeightSpec& spec) {
  const int64_t bytes =
      spec.quantization.is_given() ? spec.source_row_bytes() : spec.cols * int64_t{sizeof(float)};
  return std::max<int64_t>(1, bytes);
}

/// Rows that make a piece. Panels of packed matrices are 32 rows high, so that a piece of whole
/// panels is written in one go.
int64_t rows_per_piece(const WeightSpec& spec) {
  constexpr int64_t kPanelRows = 32;
  const int64_t panels = kPieceBytes / (row_bytes(spec) * kPanelRows);
  return std::max<int64_t>(1, panels) * kPanelRows;
}

}  // namespace

ExpertShape expert_shape(const Checkpoint& checkpoint, const ExpertId& id) {
  const ModelConfig& config = checkpoint.config;
  const int layer = config.moe_layers()[static_cast<size_t>(id.moe_layer)];
  const auto spec = [&](const std::string& name_template, int64_t rows, int64_t cols) {
    const std::string name = tensor_name(name_template, layer, id.expert) + ".weight";
    const KeptForm kept =
        kept_form(config, checkpoint.index.at(name), config.quantization.experts, name);
    return WeightSpec{kept.dtype, rows, cols, kept.quantization};
  };
  const int64_t size = config.expert_size(id.moe_layer, id.expert);
  return {spec(config.names.expert_up, size * config.ffn_form.rows_per_unit(), config.hidden_size),
          spec(config.names.expert_down, config.hidden_size, size), config.expert_bias};
}

ExpertReader::ExpertReader(const Checkpoint& checkpoint, std::unique_ptr<TensorSource> source,
                           Backend& backend, Stream& stream)
    : checkpoint_(checkpoint),
      source_(std::move(source)),
      backend_(backend),
      stream_(stream),
      layers_(checkpoint.config.moe_layers()) {}

int64_t ExpertReader::staging_bytes(const std::vector<ExpertShape>& shapes) {
  int64_t largest = 0;
  for (const ExpertShape& shape : shapes) {
    for (const WeightSpec& spec : {shape.up, shape.down}) {
      largest = std::max(largest, std::min(rows_per_piece(spec), spec.rows) * row_bytes(spec));
    }
  }
  return 2 * largest;  // as stored and as kept
}

void ExpertReader::read(const ExpertId& id, const ExpertWeights& slot) {
  const int layer = layers_[static_cast<size_t>(id.moe_layer)];
  if (checkpoint_.native) {
    const PackedExtent& extent =
        checkpoint_.native
            ->experts[static_cast<size_t>(id.moe_layer)][static_cast<size_t>(id.expert)];
    return read_packed(extent, slot.up.data, concat("expert ", id.expert, " of layer ", layer));
  }
  const TensorNames& names = checkpoint_.config.names;
  const std::string up = tensor_name(names.expert_up, layer, id.expert);
  const std::string down = tensor_name(names.expert_down, layer, id.expert);
  const int64_t before = source_->bytes_read();
  pack_matrix(up + ".weight", slot.up);
  pack_matrix(down + ".weight", slot.down);
  if (slot.up_bias.data != nullptr) read_vector(up + ".bias", slot.up_bias);
  if (slot.down_bias.data != nullptr) read_vector(down + ".bias", slot.down_bias);
  counts_.bytes += source_->bytes_read() - before;
}

void ExpertReader::read_matrix(const std::string& name, const Weight& to) {
  if (checkpoint_.native) {
    return read_packed(checkpoint_.native->matrices.at(name), to.data, concat("matrix ", name));
  }
  const int64_t before = source_->bytes_read();
  pack_matrix(name, to);
  counts_.bytes += source_->bytes_read() - before;
}

void ExpertReader::read_packed(const PackedExtent& extent, void* to, const std::string& what) {
  const double begin = steady_seconds();
  bool is_done = false;
  backend_.run_on_host(stream_, [&] {
    void* const host = backend_.host_address(to);
    if (host == nullptr) return;
    source_->read_packed(extent, host, what);
    is_done = true;
  });
  backend_.record(stream_).synchronize();
  if (!is_done) {
    if (staging_.bytes() < extent.bytes) staging_ = backend_.allocate_host(extent.bytes);
    source_->read_packed(extent, staging_.data(), what);
    backend_.copy_to_device(stream_, staging_.data(), {to, DType::kU8, {extent.bytes}});
    backend_.record(stream_).synchronize();
  }
  counts_.bytes += extent.bytes;
  counts_.read_seconds += steady_seconds() - begin;
}

void ExpertReader::stage(const std::string& name, int64_t first, int64_t count, DType kept_as) {
  const TensorEntry& entry = checkpoint_.index.at(name);
  const double begin = steady_seconds();
  raw_.resize(static_cast<size_t>(count * size_of(entry.dtype)));
  source_->read(name, entry, first, count, raw_.data());
  counts_.read_seconds += steady_seconds() - begin;
  if (entry.dtype == kept_as) return kept_.swap(raw_);
  kept_.resize(static_cast<size_t>(count * size_of(kept_as)));
  convert_elements(entry.dtype, raw_.data(), kept_as, kept_.data(), count);
}

void ExpertReader::stage_codes(const std::string& name, int64_t first_row, int64_t num_rows,
                               const WeightSpec& spec) {
  const double begin = steady_seconds();
  kept_.resize(static_cast<size_t>(num_rows * spec.source_row_bytes()));
  source_->read_codes(name, checkpoint_.index.at(name), first_row, num_rows, kept_.data());
  counts_.read_seconds += steady_seconds() - begin;
}

void ExpertReader::pack_matrix(const std::string& name, const Weight& to) {
  const WeightSpec& spec = to.spec;
  const int64_t step = rows_per_piece(spec);
  for (int64_t row = 0; row < spec.rows; row += step) {
    const int64_t rows = std::min(step, spec.rows - row);
    if (spec.quantization.is_given()) {
      stage_codes(name, row, rows, spec);
    } else {
      stage(name, row * spec.cols, rows * spec.cols, spec.dtype);
    }
    const double begin = steady_seconds();
    backend_.pack_weight(stream_, kept_.data(), row, rows, to);
    backend_.record(stream_).synchronize();
    counts_.pack_seconds += steady_seconds() - begin;
  }
}

void ExpertReader::read_vector(const std::string& name, const TensorView& to) {
  const DType stored = checkpoint_.index.at(name).dtype;
  const DType kept = kept_type(checkpoint_.config, stored, name);
  const int64_t count = to.shape.num_elements();
  stage(name, 0, count, kept);
  if (kept != DType::kF32) {
    raw_.resize(static_cast<size_t>(count) * sizeof(float));
    convert_elements(kept, kept_.data(), DType::kF32, raw_.data(), count);
    kept_.swap(raw_);
  }
  backend_.copy_to_device(stream_, kept_.data(), to);
  backend_.record(stream_).synchronize();
}

}  // namespace switchyard
