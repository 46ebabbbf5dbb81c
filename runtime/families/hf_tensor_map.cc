#include "runtime/families/hf_tensor_map.h"

#include <fnmatch.h>

#include <algorithm>
#include <charconv>

#include "kernels/base/error.h"
#include "runtime/checkpoint/encoded_read.h"

namespace switchyard {
namespace {

bool is_real(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

/// The entry without dimensions of one element: some files keep [1, E] where [E] is meant.
TensorEntry squeezed(TensorEntry entry) {
  TensorEntry result = entry;
  result.shape.clear();
  result.strides.clear();
  for (size_t i = 0; i < entry.shape.size(); ++i) {
    if (entry.shape[i] == 1) continue;
    result.shape.push_back(entry.shape[i]);
    result.strides.push_back(entry.strides[i]);
  }
  if (!result.shape.empty()) return result;
  result.shape = {1};
  result.strides = {1};
  return result;
}

/// One entry whose rows are those of `parts`; the type of all if they agree, else fp32.
TensorEntry stack(std::vector<TensorEntry> parts) {
  if (parts.size() == 1) return std::move(parts.front());
  TensorEntry whole;
  whole.dtype = parts.front().dtype;
  whole.shape = parts.front().shape;
  whole.shape[0] = 0;
  for (const TensorEntry& part : parts) {
    whole.shape[0] += part.shape[0];
    if (part.dtype != whole.dtype) whole.dtype = DType::kF32;
  }
  whole.strides = row_major_strides(whole.shape);
  whole.file = parts.front().file;
  whole.parts = std::move(parts);
  return whole;
}

/// Rows [expert * rows, ...) of dimensions that follow the experts', as an entry of its own.
TensorEntry slice_of_expert(const TensorEntry& entry, int64_t expert) {
  TensorEntry slice = rows_of(entry, expert, 1);
  slice.shape.erase(slice.shape.begin());
  if (!slice.strides.empty()) slice.strides.erase(slice.strides.begin());
  return slice;
}

}  // namespace

HfTensorMap::HfTensorMap(const HfFolder& folder, const HfModel& model)
    : folder_(folder), model_(model) {
  choose_variant();
}

void HfTensorMap::choose_variant() {
  for (const TensorVariant& variant : model_.family->variants) {
    variant_ = &variant;
    if (is_there(variant)) return;
  }
  // What is missing is told by whoever looks for it first.
  variant_ = model_.family->variants.empty() ? nullptr : &model_.family->variants.front();
}

bool HfTensorMap::is_there(const TensorVariant&) const {
  const ModelConfig& config = model_.config;
  for (const TensorVariant& any : model_.family->variants) {
    for (const auto& [role, unused] : any.tensors) {
      const RoleLayers layers = layers_of_role(role);
      int layer = 0;
      while (layer < config.num_layers() && layers != RoleLayers::kAll &&
             config.is_moe(layer) != (layers == RoleLayers::kMoe)) {
        ++layer;
      }
      if (layer == config.num_layers()) continue;
      const TensorRule& rule = rule_of(*model_.family, variant_, role);
      const std::string name = tensor_name(rule.weights.front(), layer, 0);
      if (folder_.tensors.count(name) == 0) return false;
    }
  }
  return true;
}

std::string HfTensorMap::place(const std::string& name) const {
  const auto found = folder_.tensors.find(name);
  const std::string where = found == folder_.tensors.end() || folder_.files.empty()
                                ? folder_.directory
                                : folder_.files[static_cast<size_t>(found->second.entry.file)].path;
  return concat(where, ": tensor '", printable(name), "'");
}

const TorchTensor& HfTensorMap::find(const std::string& name) {
  const auto found = folder_.tensors.find(name);
  if (found == folder_.tensors.end()) {
    fail_input(place(name), " is missing; the files are incomplete or of another model than ",
               folder_.config_path, " describes");
  }
  used_.insert(name);
  return found->second;
}

void HfTensorMap::require_shape(const std::string& name, const std::vector<int64_t>& found,
                                const std::vector<int64_t>& expected) const {
  if (found == expected) return;
  fail_input(place(name), " has the shape ", shape_text(found), "; expected ", shape_text(expected),
             " by ", folder_.config_path);
}

TensorEntry HfTensorMap::decode_fp8(const std::string& name, const TorchTensor& tensor) {
  const std::string scale_name = fp8_scales_name(name);
  if (model_.quantization != Quantization::kFp8Block) {
    fail_input(place(name), " is stored as ", tensor.storage_type, ", but ", folder_.config_path,
               " has no quantization_config that says how it is scaled");
  }
  const TorchTensor& scale = find(scale_name);
  TensorEntry entry = tensor.entry;
  if (entry.shape.size() != 2 || !is_real(scale.entry.dtype)) {
    fail_input(place(name), ": expected a matrix in fp8 and its scales in fp32");
  }
  require_shape(
      scale_name, scale.entry.shape,
      {blocks_in(entry.shape[0], model_.block_rows), blocks_in(entry.shape[1], model_.block_cols)});
  entry.dtype = DType::kF32;
  entry.encoding = TensorEncoding::kFp8Block;
  entry.scale = {scale.entry};
  entry.block_rows = model_.block_rows;
  entry.block_cols = model_.block_cols;
  return entry;
}

TensorEntry HfTensorMap::decode_mxfp4(const std::string& name, const TorchTensor& blocks) {
  const std::string scale_name = mxfp4_scales_name(name);
  const TorchTensor& scale = find(scale_name);
  const std::vector<int64_t>& shape = blocks.entry.shape;
  if (model_.quantization != Quantization::kMxfp4 || shape.size() != 4 ||
      shape[3] != kMxfp4BlockBytes || blocks.entry.dtype != DType::kU8) {
    fail_input(place(name), ": expected [experts, out, in / 32, 16] bytes, and quant_method ",
               "mxfp4 in ", folder_.config_path);
  }
  require_shape(scale_name, scale.entry.shape, {shape[0], shape[1], shape[2]});
  // As one matrix [experts * out, in]: an expert is a run of its rows.
  TensorEntry entry = blocks.entry;
  entry.shape = {shape[0] * shape[1], shape[2] * kMxfp4Block};
  entry.strides = row_major_strides(entry.shape);
  entry.dtype = DType::kBF16;
  entry.encoding = TensorEncoding::kMxfp4;
  entry.scale = {scale.entry};
  entry.scale.front().shape = {shape[0] * shape[1], shape[2]};
  entry.scale.front().strides = row_major_strides(entry.scale.front().shape);
  return entry;
}

TensorEntry HfTensorMap::take(const std::string& name, const std::vector<int64_t>& shape,
                              const ExpectedTensor& expected) {
  const TorchTensor& tensor = find(name);
  if (tensor.storage_type == "F8_E4M3") {
    require_shape(name, tensor.entry.shape, shape);
    return decode_fp8(name, tensor);
  }
  if (tensor.support != TensorSupport::kReadable || !is_real(tensor.entry.dtype)) {
    fail_input(place(name), " is of type ", tensor.storage_type, "; expected fp32, fp16 or bf16");
  }
  TensorEntry entry = tensor.entry;
  if (expected.form == TensorForm::kVector && shape.size() == 1) entry = squeezed(entry);
  require_shape(name, entry.shape, shape);
  return entry;
}

TensorEntry HfTensorMap::take_expert(const TensorPlace& place, int64_t expert) {
  const std::string& name = place.name;
  const TorchTensor& tensor = find(name);
  if (name.ends_with(kMxfp4CodesSuffix)) {
    const TensorEntry all = decode_mxfp4(name, tensor);
    require_shape(name, tensor.entry.shape, place.shape);
    return rows_of(all, expert * place.shape[1], place.shape[1]);
  }
  if (tensor.support != TensorSupport::kReadable || !is_real(tensor.entry.dtype)) {
    fail_input(this->place(name), " is of type ", tensor.storage_type,
               "; expected fp32, fp16 or bf16");
  }
  require_shape(name, tensor.entry.shape, place.shape);
  TensorEntry entry = slice_of_expert(tensor.entry, expert);
  if (place.layout == TensorLayout::kExpertsInOut && entry.shape.size() == 2) {
    std::swap(entry.shape[0], entry.shape[1]);
    std::swap(entry.strides[0], entry.strides[1]);
  }
  return entry;
}

/// The keys' or the values' rows of every head out of the matrix that gives both.
TensorEntry HfTensorMap::take_heads(const TensorEntry& both, const TensorRole& role) const {
  const ModelConfig& config = model_.config;
  const int64_t nope = config.latent.nope_dim;
  const int64_t head = nope + config.value_dim;
  const bool is_keys = role.role == "head_keys";
  std::vector<TensorEntry> parts;
  for (int64_t i = 0; i < config.num_heads; ++i) {
    parts.push_back(
        rows_of(both, i * head + (is_keys ? 0 : nope), is_keys ? nope : config.value_dim));
  }
  return stack(std::move(parts));
}

TensorEntry HfTensorMap::resolve(const ExpectedTensor& expected) {
  const TensorRole role = role_of(expected.name);
  std::vector<TensorEntry> parts;
  for (const TensorPlace& place : places_of(model_, variant_, expected)) {
    parts.push_back(place.layout == TensorLayout::kWhole ? take(place.name, place.shape, expected)
                                                         : take_expert(place, role.expert));
  }
  TensorEntry whole = stack(std::move(parts));
  const bool is_of_heads = role.role == "head_keys" || role.role == "head_values";
  return is_of_heads ? take_heads(whole, role) : whole;
}

void HfTensorMap::require_all_used() const {
  const int num_layers = model_.config.num_layers();
  const auto is_of_extra_layer = [&](const std::string& name) {
    constexpr std::string_view kLayers = "model.layers.";
    if (!name.starts_with(kLayers)) return false;
    int64_t layer = 0;
    const char* begin = name.data() + kLayers.size();
    std::from_chars(begin, name.data() + name.size(), layer);
    return layer >= num_layers && layer < num_layers + model_.extra_layers;
  };
  const bool is_tied = model_.config.names.output == model_.config.names.embedding;
  for (const auto& entry : folder_.tensors) {
    const std::string& name = entry.first;
    if (used_.count(name) > 0 || is_of_extra_layer(name)) continue;
    if (is_tied && name == model_.family->tensors.at("output").weights.front()) continue;
    const auto matches = [&](const std::string& pattern) {
      return fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
    };
    if (std::ranges::any_of(model_.family->ignored_tensors, matches)) continue;
    fail_input(place(name), " (", shape_text(entry.second.entry.shape),
               ") has no place in the model that ", folder_.config_path, " describes");
  }
}

}  // namespace switchyard
