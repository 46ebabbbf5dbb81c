#include "runtime/bench/synthetic_model.h"

#include <cstring>

#include "kernels/base/error.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/given_codes.h"
#include "runtime/families/stored_tensors.h"

namespace switchyard {
namespace {

void encode_as_published(const HfModel& model, const ExpectedTensor& tensor, TensorEntry& entry) {
  if (tensor.form != TensorForm::kMatrix) return;
  if (is_stored_as_fp8(model, tensor)) {
    entry.dtype = DType::kF32;
    entry.encoding = TensorEncoding::kFp8Block;
    entry.block_rows = model.block_rows;
    entry.block_cols = model.block_cols;
  } else if (model.quantization == Quantization::kMxfp4 &&
             tensor.weight_class == WeightClass::kExpert) {
    entry.dtype = DType::kBF16;
    entry.encoding = TensorEncoding::kMxfp4;
  }
}

}  // namespace

Checkpoint synthetic_checkpoint(const ModelPreset& preset) {
  Checkpoint checkpoint;
  checkpoint.directory = "synthetic";
  checkpoint.config = preset.config;
  checkpoint.config.weight_dtype = preset.dtype;
  for (const ExpectedTensor& tensor : expected_tensors(preset.config)) {
    TensorEntry& entry = checkpoint.index.tensors[tensor.name];
    entry.dtype = preset.dtype;
    entry.shape = tensor.shape;
    if (preset.hf) encode_as_published(preset.hf->model, tensor, entry);
  }
  return checkpoint;
}

void SyntheticSource::read(const std::string& name, const TensorEntry& entry, int64_t first,
                           int64_t count, void* to) {
  weights_.fill(synthetic_tensor(config_, name, entry.shape, entry.dtype), first, count, to);
}

void SyntheticSource::read_codes(const std::string& name, const TensorEntry& entry,
                                 int64_t first_row, int64_t num_rows, void* to) {
  const WeightSpec spec = code_rows(entry);
  const bool is_fp8 = spec.quantization.codes == CodeType::kE4m3;
  const double deviation = is_fp8 ? kE4m3Deviation : kMxfp4Deviation;
  const SyntheticTensor codes = {
      name, {0.0, deviation}, is_fp8 ? ElementForm::kE4m3 : ElementForm::kMxfp4Codes};
  const double scale =
      weight_distribution(config_, name, entry.shape).standard_deviation / deviation;
  const SyntheticTensor scales = {name + "_scales",
                                  {is_fp8 ? scale : 0.0, is_fp8 ? 0.0 : scale},
                                  is_fp8 ? ElementForm::kF32 : ElementForm::kE8m0};
  const int64_t scale_bytes = spec.source_row_bytes() - spec.code_bytes();
  const int64_t num_scales = scale_bytes / size_of(scales.form);
  std::vector<float> aligned(static_cast<size_t>(num_scales));
  for (int64_t row = first_row; row < first_row + num_rows; ++row) {
    char* const at = static_cast<char*>(to) + (row - first_row) * spec.source_row_bytes();
    weights_.fill(codes, row * spec.code_bytes(), spec.code_bytes(), at);
    weights_.fill(scales, row * num_scales, num_scales, aligned.data());
    std::memcpy(at + spec.code_bytes(), aligned.data(), static_cast<size_t>(scale_bytes));
  }
}

}  // namespace switchyard
