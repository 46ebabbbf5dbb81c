// Models of real shapes with random weights, in memory only.
#pragma once

#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// The shape of fairseq's moe_15b (width 768, 12 heads, F = 3072, 51,200 tokens, every second layer
/// with top-2 experts), cut to this many layers and experts.
ModelConfig moe_15b_config(int num_layers, int64_t num_experts);

/// A checkpoint without files: every tensor that the model needs, in fp16.
Checkpoint synthetic_checkpoint(const ModelConfig& config);

/// Random fp16 values of magnitude 2^-6 to 2^-5, close to the 1 / sqrt(768) of a trained matrix.
class SyntheticSource : public TensorSource {
 public:
  void read(const std::string& name, const TensorEntry& entry, int64_t first, int64_t count,
            void* to) override;
  int64_t bytes_read() const override { return 0; }
};

}  // namespace switchyard
