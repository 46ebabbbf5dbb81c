// From config.json to a ModelConfig.
#pragma once

#include <string>

#include "runtime/families/family.h"
#include "runtime/model_config.h"

namespace switchyard {

/// How the matrices of a checkpoint are quantised.
enum class Quantization : uint8_t { kNone, kFp8Block, kMxfp4 };

/// What a folder's JSON files say.
struct HfModel {
  const Family* family = nullptr;
  ModelConfig config;  // validated; the weights' type is the files' to tell
  Quantization quantization = Quantization::kNone;
  int64_t block_rows = 0;  // of kFp8Block
  int64_t block_cols = 0;
  int64_t extra_layers = 0;  // behind the last, for predicting several tokens: not used
};

/// Reads the texts of config.json (`source`) and of generation_config.json beside it (empty: there
/// is none). Throws Error(kInput) naming the file and the key for whatever is malformed, unknown or
/// not supported.
HfModel read_hf_model(const std::string& config_text, const std::string& generation_text,
                      const std::string& source);

}  // namespace switchyard
