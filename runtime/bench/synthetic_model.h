// Models of real shapes with random weights, in memory only.
#pragma once

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/synthetic_weights.h"
#include "runtime/model_preset.h"

namespace switchyard {

/// A checkpoint without files: every tensor that the preset's model needs in its type, matrices in
/// FP8 or MXFP4 where the model is published so.
Checkpoint synthetic_checkpoint(const ModelPreset& preset);

/// The weights of `synthesize` with seed 1. `config` must outlive it.
class SyntheticSource : public TensorSource {
 public:
  explicit SyntheticSource(const ModelConfig& config) : config_(config), weights_(1) {}
  void read(const std::string& name, const TensorEntry& entry, int64_t first, int64_t count,
            void* to) override;
  void read_codes(const std::string& name, const TensorEntry& entry, int64_t first_row,
                  int64_t num_rows, void* to) override;
  int64_t bytes_read() const override { return 0; }

 private:
  const ModelConfig& config_;
  const SyntheticWeights weights_;
};

/// As many of them as there are threads that read.
class SyntheticSources : public TensorSources {
 public:
  explicit SyntheticSources(const ModelConfig& config) : config_(config) {}
  std::unique_ptr<TensorSource> open(FileCaching) override {
    return std::make_unique<SyntheticSource>(config_);
  }

 private:
  const ModelConfig& config_;
};

}  // namespace switchyard
