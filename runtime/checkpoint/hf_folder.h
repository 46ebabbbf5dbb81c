// A Hugging Face checkpoint on disk: its configuration and its tensors' headers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "parallel/control_channel.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/hf_files.h"
#include "runtime/checkpoint/torch_file.h"

namespace switchyard {

/// What a Hugging Face folder says without the contents of its tensors.
struct HfFolder {
  std::string directory;
  std::string config_path;  // DIR/config.json
  std::string config_text;
  std::string generation_text;        // generation_config.json, empty if there is none
  std::vector<CheckpointFile> files;  // weight files
  /// By name on disk; TorchTensor::entry.file indexes `files`. Tensors that the index does not name
  /// are there too: whoever knows the model judges them.
  std::map<std::string, TorchTensor> tensors;
  std::vector<std::string> warnings;
  int64_t header_bytes_read = 0;  // by this rank
};

/// Reads the folder; see find_hf_files for its files. Collective: rank i reads the headers of the
/// files i mod R, all ranks get everything. What is wrong on any rank is thrown on all:
/// Error(kInput) naming file and tensor for a header that is wrong, for a tensor that stands in two
/// files, and for an index that names another file than the one that holds the tensor.
HfFolder read_hf_folder(const std::string& directory, ControlChannel& control);

}  // namespace switchyard
