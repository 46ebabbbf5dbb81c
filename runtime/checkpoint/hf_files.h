// Which files of a folder make up a Hugging Face checkpoint.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/base/byte_codec.h"

namespace switchyard {

enum class HfWeightFormat : uint8_t {
  kSafetensors,
  kTorch,  ///< a state dict of torch.save
};

struct HfFiles {
  std::string config_path;
  std::string config_text;
  std::string generation_text;  // of generation_config.json, empty if there is none
  HfWeightFormat format = HfWeightFormat::kSafetensors;
  std::vector<std::string> paths;  // of the weight files, in the order of their names
  std::string index_path;          // of the index, empty if there is one file and no index
  /// What the index says: tensor to number of file.
  std::map<std::string, int32_t> places;
  std::vector<std::string> warnings;
  int64_t bytes_read = 0;  // of configurations and index
};

/// Whether `directory` holds a Hugging Face checkpoint: a config.json.
bool is_hf_folder(const std::string& directory);

/// Finds the files of the checkpoint in `directory`: model.safetensors.index.json and the files it
/// names, else model.safetensors, else pytorch_model.bin.index.json and the files it names, else
/// pytorch_model.bin. Reads the configurations and the index. Every file must lie in the folder; a
/// link may lead to the "blobs" folder beside "snapshots", as in the hub's cache, and nowhere else.
/// Throws Error(kInput) naming the file for what is missing or wrong.
HfFiles find_hf_files(const std::string& directory);

/// All but `bytes_read`, which is of the rank that found the files.
void put_hf_files(ByteWriter& writer, const HfFiles& files);
HfFiles get_hf_files(ByteReader& reader);

}  // namespace switchyard
