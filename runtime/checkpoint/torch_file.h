// A file written by torch.save: the object tree and where its tensors lie.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/pickle.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/torch_storage.h"

namespace switchyard {

/// Where in a storage elements stand; tells contents apart without reading them.
struct StoragePlace {
  int64_t first = 0;             // element of the storage
  int64_t storage_elements = 0;  // of the whole storage
  uint32_t crc32 = 0;            // of the whole storage; 0 where the writer computed none

  bool operator==(const StoragePlace&) const = default;
};

/// Which dictionary of a file holds its tensors.
enum class TorchLayout : uint8_t {
  kModelEntry,  ///< the entry 'model' of the outermost, beside whatever else (fairseq)
  kStateDict,   ///< the outermost, which holds tensors alone (Hugging Face)
};

/// One value of the dictionary of tensors; also a tensor of a safetensors file.
struct TorchTensor {
  std::string name;
  TensorSupport support = TensorSupport::kReadable;
  std::string storage_type;          // as "HalfStorage", or "F16" in a safetensors file
  TensorEntry entry;                 // entry.file is 0; no dtype if support is kUnknownType
  std::vector<StoragePlace> places;  // of each of entry.extents; one where that is empty
};

struct TorchFile {
  Pickle pickle;
  /// In the order of the file; names are distinct.
  std::vector<TorchTensor> tensors;
};

/// Reads the headers of a torch file in either container: directory, object tree, no tensor data.
/// Every tensor is proven to lie within its storage and every storage to have the declared size.
/// Throws Error(kInput) naming file and tensor for anything else, other containers included, and in
/// a state dict for any class or function that tensors do not need.
TorchFile read_torch_file(RandomFile& file, TorchLayout layout = TorchLayout::kModelEntry);

}  // namespace switchyard
