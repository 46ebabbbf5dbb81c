// The tensors of a model's files as its family keeps them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/synthetic_weights.h"
#include "runtime/families/hf_model_config.h"

namespace switchyard {

/// Whether the files of a model hold a tensor in FP8 (DeepSeek-V3, README_WEIGHTS.md).
bool is_stored_as_fp8(const HfModel& model, const ExpectedTensor& tensor);

/// One tensor of the files, before they are written.
struct HfStoredTensor {
  std::string type;  // as safetensors names it
  std::vector<int64_t> shape;
  SyntheticTensor content;  // name on disk, and what its elements are like
};

/// The variant of that name; the first where the name is empty, null for a family without any.
/// Throws Error(kUsage) starting with `source` for a name that the family has not.
const TensorVariant* variant_named(const Family& family, const std::string& name,
                                   const std::string& source);

/// Every tensor that a model's files hold, in the order of its layers: the inverse of what reading
/// them does, by the same rules. `dtype` is that of what is not quantised; biases for choosing are
/// fp32 always. By the model's quantisation, linear maps but routers, embeddings and output are
/// E4M3 with scales of blocks, or codes of MXFP4 where the variant names codes. Throws
/// Error(kUsage) starting with `source` for sizes that a quantisation cannot hold.
std::vector<HfStoredTensor> stored_tensors(const HfModel& model, const TensorVariant* variant,
                                           DType dtype, const std::string& source);

}  // namespace switchyard
