// The model that a fairseq configuration describes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/checkpoint/fairseq_settings.h"
#include "runtime/model_config.h"

namespace switchyard {

/// fairseq's table of sinusoidal positions ends here.
inline constexpr int64_t kMostSinusoidalPositions = 100000;

/// What only the tensors of a checkpoint say.
struct FairseqTensorFacts {
  int64_t vocab_size = 0;        // rows of decoder.embed_tokens.weight
  double decoder_version = 1.0;  // element of decoder.version; 1 where there is none
  /// The output matrix equals the embedding, has a matrix of its own, or both are that matrix.
  enum class Output : uint8_t { kAbsent, kSameStorage, kOwn } output = Output::kAbsent;
  /// Type that holds every weight exactly.
  DType stored_dtype = DType::kF32;
};

/// The model the settings describe, all layers kDense or kMoe by moe_freq. Throws Error(kInput)
/// naming `source` and the setting for a missing size and for any setting whose effect on the
/// numbers is not implemented. Adds to `warnings` what a user should know.
ModelConfig make_fairseq_config(const FairseqSettings& settings, const FairseqTensorFacts& facts,
                                const std::string& source, std::vector<std::string>& warnings);

}  // namespace switchyard
