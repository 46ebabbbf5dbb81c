#include "runtime/families/stored_tensors.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/nearest_name.h"
#include "runtime/checkpoint/encoded_read.h"
#include "runtime/checkpoint/safetensors_writer.h"
#include "runtime/families/tensor_places.h"
#include "runtime/families/tensor_roles.h"

namespace switchyard {
namespace {

/// Scales of FP8 blocks differ by so much of their mean.
constexpr double kScaleSpread = 0.05;

class StoredTensorWalk {
 public:
  StoredTensorWalk(const HfModel& model, const TensorVariant* variant, DType dtype,
                   const std::string& source)
      : model_(model), variant_(variant), dtype_(dtype), source_(source) {}

  std::vector<HfStoredTensor> run() {
    visit_expected_tensors(model_.config, [&](const ExpectedTensor& expected) { visit(expected); });
    return std::move(tensors_);
  }

 private:
  void visit(const ExpectedTensor& expected);
  void add(const TensorPlace& place, const WeightDistribution& distribution, DType dtype);
  void add_fp8(const TensorPlace& place, const WeightDistribution& distribution);
  void add_mxfp4(const TensorPlace& place, const WeightDistribution& distribution);

  const HfModel& model_;
  const TensorVariant* variant_;
  const DType dtype_;
  const std::string& source_;
  std::vector<HfStoredTensor> tensors_;
};

void StoredTensorWalk::visit(const ExpectedTensor& expected) {
  const TensorRole role = role_of(expected.name);
  if (role.role == "head_values") return;  // with the keys
  const WeightDistribution distribution =
      weight_distribution(model_.config, expected.name, expected.shape);
  for (const TensorPlace& place : places_of(model_, variant_, expected)) {
    if (place.layout != TensorLayout::kWhole && role.expert > 0) continue;  // with the first
    if (place.name.ends_with(kMxfp4CodesSuffix)) {
      if (expected.shape[1] % kMxfp4Block != 0) {
        fail_usage(source_, ": ", expected.name, " has ", expected.shape[1],
                   " inputs; mxfp4 needs a multiple of ", kMxfp4Block);
      }
      add_mxfp4(place, distribution);
    } else if (is_stored_as_fp8(model_, expected)) {
      add_fp8(place, distribution);
    } else {
      add(place, distribution, role.role == "selection_bias" ? DType::kF32 : dtype_);
    }
  }
}

void StoredTensorWalk::add(const TensorPlace& place, const WeightDistribution& distribution,
                           DType dtype) {
  tensors_.push_back(
      {safetensors_type_name(dtype), place.shape, {place.name, distribution, form_of(dtype)}});
}

void StoredTensorWalk::add_fp8(const TensorPlace& place, const WeightDistribution& distribution) {
  tensors_.push_back(
      {"F8_E4M3", place.shape, {place.name, {0.0, kE4m3Deviation}, ElementForm::kE4m3}});
  const double scale = distribution.standard_deviation / kE4m3Deviation;
  const TensorPlace scales = {
      fp8_scales_name(place.name),
      {blocks_in(place.shape[0], model_.block_rows), blocks_in(place.shape[1], model_.block_cols)}};
  add(scales, {scale, scale * kScaleSpread}, DType::kF32);
}

void StoredTensorWalk::add_mxfp4(const TensorPlace& place, const WeightDistribution& distribution) {
  tensors_.push_back(
      {"U8", place.shape, {place.name, {0.0, kMxfp4Deviation}, ElementForm::kMxfp4Codes}});
  const double scale = distribution.standard_deviation / kMxfp4Deviation;
  tensors_.push_back({"U8",
                      {place.shape.begin(), place.shape.end() - 1},
                      {mxfp4_scales_name(place.name), {0.0, scale}, ElementForm::kE8m0}});
}

}  // namespace

bool is_stored_as_fp8(const HfModel& model, const ExpectedTensor& tensor) {
  constexpr std::array<std::string_view, 5> kPlain = {"embedding", "output", "gate", "gate_inner",
                                                      "shared_gate"};
  return model.quantization == Quantization::kFp8Block && tensor.form != TensorForm::kVector &&
         std::ranges::count(kPlain, role_of(tensor.name).role) == 0;
}

const TensorVariant* variant_named(const Family& family, const std::string& name,
                                   const std::string& source) {
  if (family.variants.empty() && name.empty()) return nullptr;
  if (name.empty()) return &family.variants.front();
  std::vector<std::string> known;
  for (const TensorVariant& variant : family.variants) {
    if (variant.name == name) return &variant;
    known.push_back(variant.name);
  }
  std::string list;
  for (const std::string& one : known) list += concat(list.empty() ? "" : ", ", one);
  fail_usage(source, ": family ", family.name, " has no variant '", name, "'",
             suggestion(name, known), "; expected one of ", list);
}

std::vector<HfStoredTensor> stored_tensors(const HfModel& model, const TensorVariant* variant,
                                           DType dtype, const std::string& source) {
  return StoredTensorWalk(model, variant, dtype, source).run();
}

}  // namespace switchyard
