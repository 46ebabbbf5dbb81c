#include "runtime/families/hf_writer.h"

#include <cstdio>
#include <map>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/safetensors_writer.h"
#include "runtime/requests/json_text.h"

namespace switchyard {
namespace {

int64_t bytes_of(const HfStoredTensor& tensor) {
  int64_t bytes = size_of(tensor.content.form);
  for (const int64_t size : tensor.shape) bytes *= size;
  return bytes;
}

SafetensorsPlan plan_of(const HfShard& shard) {
  SafetensorsPlan plan;
  for (const HfStoredTensor& tensor : shard.tensors) {
    plan.tensors.push_back({tensor.content.name, tensor.type, tensor.shape});
  }
  plan.metadata = {{"format", "pt"}};  // without it transformers does not load the file
  return plan;
}

void name_files(std::vector<HfShard>& shards) {
  for (size_t i = 0; i < shards.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", i + 1, shards.size());
    shards[i].file_name = shards.size() == 1 ? "model.safetensors" : name;
  }
}

}  // namespace

std::vector<HfShard> plan_hf_shards(const HfPreset& preset, const std::string& name) {
  const TensorVariant* variant = variant_named(*preset.model.family, preset.variant, name);
  std::vector<HfShard> shards(1);
  int64_t in_shard = 0;
  for (HfStoredTensor& tensor : stored_tensors(preset.model, variant, preset.dtype, name)) {
    const int64_t bytes = bytes_of(tensor);
    if (in_shard > 0 && in_shard + bytes > preset.shard_bytes) {
      shards.emplace_back();
      in_shard = 0;
    }
    in_shard += bytes;
    shards.back().tensors.push_back(std::move(tensor));
  }
  name_files(shards);
  return shards;
}

std::string hf_index_text(const std::vector<HfShard>& shards) {
  std::map<std::string, const std::string*> files;
  int64_t bytes = 0;
  for (const HfShard& shard : shards) {
    for (const HfStoredTensor& tensor : shard.tensors) {
      files[tensor.content.name] = &shard.file_name;
      bytes += bytes_of(tensor);
    }
  }
  std::string text =
      concat("{\n  \"metadata\": {\n    \"total_size\": ", bytes, "\n  },\n  \"weight_map\": {");
  std::string separator = "\n    ";
  for (const auto& [tensor, file] : files) {
    text += std::exchange(separator, ",\n    ");
    append_json_string(tensor, text);
    text += ": ";
    append_json_string(*file, text);
  }
  return text + "\n  }\n}\n";
}

int64_t file_bytes(const HfShard& shard) {
  auto bytes = static_cast<int64_t>(safetensors_header(plan_of(shard)).size());
  for (const HfStoredTensor& tensor : shard.tensors) bytes += bytes_of(tensor);
  return bytes;
}

void write_hf_shard(const HfShard& shard, const SyntheticWeights& weights, ThreadPool& pool,
                    const ByteCounter& counter, StagedFile& file) {
  const StorageSource source = [&](size_t tensor, int64_t first, int64_t count, void* to) {
    weights.fill(shard.tensors[tensor].content, first, count, to);
  };
  write_safetensors_file(plan_of(shard), source, pool, counter, file);
}

}  // namespace switchyard
