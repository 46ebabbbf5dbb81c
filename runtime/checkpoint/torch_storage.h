// How a torch file's object tree refers to the storages that hold its tensors' elements.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/base/dtype.h"
#include "runtime/checkpoint/pickle.h"

namespace switchyard {

/// Whether the runtime has the element type of a tensor.
enum class TensorSupport : uint8_t { kReadable, kUnknownType };

struct TorchStorageType {
  std::string_view name;  // as "HalfStorage"
  int64_t item_bytes;
  TensorSupport support;
  DType dtype;  // means nothing if support is kUnknownType
};

/// A storage as one object of the tree declares it.
struct TorchStorageRef {
  const TorchStorageType* type = nullptr;
  std::string key;
  int64_t num_elements = 0;  // of the storage
  /// The part of the storage that the object sees, in elements; all of it but for old writers.
  int64_t view_first = 0;
  int64_t view_elements = 0;
};

/// Reads the persistent id of a storage: ('storage', type, key, location, number of elements) and,
/// in the legacy container, None or (key of a view, first element, number of elements). Nothing if
/// the node is a persistent object of another kind. Throws Error(kInput) that starts with `where`.
std::optional<TorchStorageRef> parse_storage_ref(const Pickle& pickle, PickleId id,
                                                 const std::string& where);

}  // namespace switchyard
