// The files of a synthetic checkpoint, whatever its family.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/base/thread_pool.h"
#include "runtime/checkpoint/piece_writer.h"
#include "runtime/checkpoint/staged_file.h"
#include "runtime/model_preset.h"

namespace switchyard {

struct SyntheticFile {
  std::string name;
  std::function<int64_t()> bytes;  // of the whole file
  /// Writes an empty file and closes it. Throws Error(kResource) naming the file.
  std::function<void(ThreadPool&, const ByteCounter&, StagedFile&)> write;
};

/// The files of a model, random weights by the seed; the first is the one without which the others
/// are no checkpoint. `model` must outlive them. Throws Error(kUsage) for a model that its family's
/// files cannot hold.
std::vector<SyntheticFile> synthetic_files(const ModelPreset& model, uint64_t seed);

}  // namespace switchyard
