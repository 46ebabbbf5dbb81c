// Which tensors of the files a role is made of.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/hf_folder.h"
#include "runtime/families/hf_model_config.h"
#include "runtime/families/tensor_places.h"
#include "runtime/families/tensor_roles.h"

namespace switchyard {

/// Resolves roles to entries, and keeps account of what has been used.
class HfTensorMap {
 public:
  /// Both must outlive the map. Chooses the family's variant whose tensors are there.
  HfTensorMap(const HfFolder& folder, const HfModel& model);

  /// The entry of an expected tensor. Throws Error(kInput) naming file and tensor if it is not
  /// there, or has another shape or a type that cannot be read.
  TensorEntry resolve(const ExpectedTensor& expected);

  /// Throws Error(kInput) for a tensor that no role has used and no list ignores.
  void require_all_used() const;

 private:
  void choose_variant();
  bool is_there(const TensorVariant& variant) const;

  TensorEntry take(const std::string& name, const std::vector<int64_t>& shape,
                   const ExpectedTensor& expected);
  TensorEntry take_expert(const TensorPlace& place, int64_t expert);
  TensorEntry take_heads(const TensorEntry& both, const TensorRole& role) const;
  const TorchTensor& find(const std::string& name);
  TensorEntry decode_fp8(const std::string& name, const TorchTensor& tensor);
  TensorEntry decode_mxfp4(const std::string& name, const TorchTensor& blocks);
  void require_shape(const std::string& name, const std::vector<int64_t>& found,
                     const std::vector<int64_t>& expected) const;
  std::string place(const std::string& name) const;

  const HfFolder& folder_;
  const HfModel& model_;
  const TensorVariant* variant_ = nullptr;
  std::set<std::string> used_;
};

}  // namespace switchyard
