// A file written by torch.save: the object tree and where its tensors lie.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/pickle.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {

/// Whether the runtime has the element type of a tensor.
enum class TensorSupport : uint8_t { kReadable, kUnknownType };

/// One value of the `model` dictionary.
struct TorchTensor {
  std::string name;
  TensorSupport support = TensorSupport::kReadable;
  std::string storage_type;    // as "HalfStorage"
  TensorEntry entry;           // entry.file is 0; no dtype if support is kUnknownType
  int64_t storage_first = 0;   // its first element in its storage
  uint32_t storage_crc32 = 0;  // of the whole storage; 0 where the writer computed none
};

struct TorchFile {
  Pickle pickle;
  /// In the order of the file; names are distinct.
  std::vector<TorchTensor> tensors;
};

/// Reads the headers of a torch file in the zip container: directory, object tree, no tensor data.
/// Every tensor is proven to lie within its storage and every storage to have the declared size.
/// Throws Error(kInput) naming file and tensor for anything else, other containers included.
TorchFile read_torch_file(RandomFile& file);

}  // namespace switchyard
