// A file of named tensors in the safetensors format.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/torch_file.h"

namespace switchyard {

/// The first bytes of a file are the length of its header.
inline constexpr int64_t kSafetensorsLengthBytes = 8;

/// The one name in a header that is no tensor's.
inline constexpr std::string_view kSafetensorsMetadata = "__metadata__";

/// An element type of the format.
struct SafetensorsType {
  std::string_view name;  // as "BF16"
  int bits;               // of an element
  TensorSupport support;
  /// What a readable element is read as; kU8 for every type of one byte, whatever it means.
  DType dtype;
};

/// The type of this name; null if the format has none.
const SafetensorsType* find_safetensors_type(std::string_view name);

/// The tensors of a safetensors file in the order of their data; TorchTensor::storage_type is the
/// name of their type, and their storage is all of the data, counted in bytes. Types that no model
/// uses are kUnknownType. Reads the header alone: eight bytes of length, JSON of names, types,
/// shapes and byte ranges. Throws Error(kInput) naming file and tensor unless the header is JSON
/// without a name twice, and the ranges cover the rest of the file without a gap or an overlap and
/// each holds its tensor exactly (github.com/huggingface/safetensors, tensor.rs).
std::vector<TorchTensor> read_safetensors_header(RandomFile& file);

}  // namespace switchyard
