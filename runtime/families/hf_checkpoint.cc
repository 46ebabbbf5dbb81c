#include "runtime/families/hf_checkpoint.h"

#include <optional>

#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/fingerprint.h"
#include "runtime/families/hf_model_config.h"
#include "runtime/families/hf_tensor_map.h"

namespace switchyard {
namespace {

/// The one type of the matrices among `index`; none if they have several.
std::optional<DType> type_of_matrices(const CheckpointIndex& index) {
  std::optional<DType> type;
  for (const auto& [name, entry] : index.tensors) {
    if (entry.shape.size() < 2) continue;
    if (type && *type != entry.dtype) return std::nullopt;
    type = entry.dtype;
  }
  return type;
}

}  // namespace

Checkpoint make_hf_checkpoint(const HfFolder& folder) {
  const HfModel model =
      read_hf_model(folder.config_text, folder.generation_text, folder.config_path);
  Checkpoint checkpoint;
  checkpoint.directory = folder.directory;
  checkpoint.config = model.config;
  checkpoint.index.files = folder.files;
  checkpoint.header_bytes_read = folder.header_bytes_read;
  checkpoint.warnings = folder.warnings;
  HfTensorMap tensors(folder, model);
  visit_expected_tensors(model.config, [&](const ExpectedTensor& expected) {
    checkpoint.index.tensors[expected.name] = tensors.resolve(expected);
  });
  tensors.require_all_used();
  checkpoint.config.weight_dtype = type_of_matrices(checkpoint.index);
  checkpoint.fingerprint =
      make_fingerprint({{"config.json", folder.config_text}}, folder.tensors, folder.files);
  return checkpoint;
}

}  // namespace switchyard
