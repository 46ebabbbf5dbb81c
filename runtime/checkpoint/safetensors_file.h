// A file of named tensors in the safetensors format.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {

/// The tensors of a safetensors file by name; TensorEntry::file is 0. Reads the header alone: eight
/// bytes of length, JSON of names, types, shapes and byte ranges. Throws Error(kInput) naming file
/// and tensor unless the ranges cover the rest of the file without a gap or an overlap and each
/// holds its tensor exactly (github.com/huggingface/safetensors, tensor.rs).
std::map<std::string, TensorEntry> read_safetensors_header(RandomFile& file);

}  // namespace switchyard
