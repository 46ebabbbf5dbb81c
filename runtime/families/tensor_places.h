// Where a family keeps the tensors of each role: what reading and writing its files go by.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/families/hf_model_config.h"

namespace switchyard {

/// One tensor of the files that holds a role's tensor, rows of it, or it among others.
struct TensorPlace {
  std::string name;            // on disk
  std::vector<int64_t> shape;  // on disk; of MXFP4 codes [experts, out, in / 32, 16]
  TensorLayout layout = TensorLayout::kWhole;
};

/// Codes of MXFP4 are named so; their scales end in "_scales" instead.
inline constexpr std::string_view kMxfp4CodesSuffix = "_blocks";
/// Bytes of 32 codes, the block that shares a scale.
inline constexpr int64_t kMxfp4BlockBytes = 16;

/// The rule of a role: the variant's (null: none) or else the family's own.
const TensorRule& rule_of(const Family& family, const TensorVariant* variant,
                          const std::string& role);

/// The tensors that an expected tensor is made of, whose rows follow each other. Latent attention's
/// keys and values of heads stand in one tensor, of which each head has rows of both; in layouts
/// with all experts the tensor is theirs together.
std::vector<TensorPlace> places_of(const HfModel& model, const TensorVariant* variant,
                                   const ExpectedTensor& expected);

/// The name of an MXFP4 tensor's scales by that of its codes, of an FP8 matrix' by its own.
std::string mxfp4_scales_name(const std::string& codes_name);
std::string fp8_scales_name(const std::string& name);

/// Blocks that `size` elements take.
int64_t blocks_in(int64_t size, int64_t block);

}  // namespace switchyard
