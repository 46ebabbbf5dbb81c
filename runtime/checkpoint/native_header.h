// switchyard.json: what a converted checkpoint is, and where everything stands in its files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// The file that makes a folder a converted checkpoint.
inline constexpr const char* kNativeHeaderFile = "switchyard.json";
/// File number 0: every tensor that is not packed.
inline constexpr const char* kNativeDenseFile = "dense.safetensors";

/// File number 1 and more, of `count` such: "experts-00001-of-00003.bin".
std::string native_extent_file(size_t number, size_t count);

struct NativeFile {
  std::string name;
  int64_t bytes = 0;
};

/// An expert as a slot holds it: both matrices, then the biases where there are some.
struct NativeExpert {
  PackedExtent extent;
  DType up = DType::kF32;
  DType down = DType::kF32;  // the types that were given to pack_weight
  GroupQuantization up_codes = {};
  GroupQuantization down_codes = {};  // given instead of elements, or off
};

/// A packed dense matrix.
struct NativeMatrix {
  PackedExtent extent;
  DType dtype = DType::kF32;
  GroupQuantization codes = {};  // as above
};

struct NativeHeader {
  std::string packing;  // Backend::packing_name()
  std::string source;   // fingerprint of the checkpoint that was converted
  ModelConfig config;   // with the quantisation of what is packed
  std::vector<NativeFile> files;
  uint32_t dense_crc32 = 0;                        // of the whole of file number 0
  std::vector<std::vector<NativeExpert>> experts;  // by MoE layer and global id
  std::map<std::string, NativeMatrix> matrices;    // by name
};

/// The text of switchyard.json.
std::string native_header_text(const NativeHeader& header);

/// Reads it back. Throws Error(kInput) naming `path` and the key or the extent unless it is of this
/// version, complete, its configuration valid, and every extent in a file of its own bytes, aligned
/// to kDirectBlock, without overlap or a gap at the file's end.
NativeHeader parse_native_header(const std::string& text, const std::string& path);

}  // namespace switchyard
