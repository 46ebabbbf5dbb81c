// What `convert` writes where, before it writes anything.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/checkpoint/native_header.h"
#include "runtime/checkpoint/safetensors_writer.h"
#include "runtime/expert_slot.h"

namespace switchyard {

/// One packed expert or dense matrix.
struct NativeItem {
  PackedExtent extent;
  std::optional<ExpertId> expert;
  std::string matrix;  // name, where it is no expert
  WeightSpec spec;     // of the matrix
};

struct NativePlan {
  NativeHeader header;            // complete but for the checksums
  SafetensorsPlan dense;          // file number 0
  std::vector<DType> kept_as;     // of each of its tensors
  std::vector<NativeItem> items;  // by file and offset

  /// Of all files.
  int64_t bytes() const;
  std::vector<std::string> file_names() const;
};

/// The files of the checkpoint, whose configuration says what is quantised, as the backend packs
/// it. Extents follow each other: experts by layer and number, then matrices layer by layer; a file
/// ends where the next would make it longer than `shard_bytes`. The same checkpoint gives the same
/// plan on every machine.
NativePlan plan_native(const Checkpoint& checkpoint, const Backend& backend, int64_t shard_bytes);

}  // namespace switchyard
