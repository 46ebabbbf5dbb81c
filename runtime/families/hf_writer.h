// Writes a model in the files of a Hugging Face folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/thread_pool.h"
#include "runtime/checkpoint/piece_writer.h"
#include "runtime/checkpoint/synthetic_weights.h"
#include "runtime/families/stored_tensors.h"
#include "runtime/hf_preset.h"

namespace switchyard {

/// One weight file, before it is written.
struct HfShard {
  std::string file_name;  // as "model-00001-of-00003.safetensors"
  std::vector<HfStoredTensor> tensors;
};

/// The weight files of a model: tensors in the order of its layers, a new file where the next would
/// make more than preset.shard_bytes of tensors. One file is model.safetensors. `name` is that of
/// the preset, for messages. Throws Error(kUsage) for what stored_tensors() refuses.
std::vector<HfShard> plan_hf_shards(const HfPreset& preset, const std::string& name);

/// model.safetensors.index.json: the file of each tensor, and the bytes of all tensors.
std::string hf_index_text(const std::vector<HfShard>& shards);

/// Bytes of a weight file with its header.
int64_t file_bytes(const HfShard& shard);

/// Writes an empty file and closes it. Throws Error(kResource) naming the file.
void write_hf_shard(const HfShard& shard, const SyntheticWeights& weights, ThreadPool& pool,
                    const ByteCounter& counter, StagedFile& file);

}  // namespace switchyard
