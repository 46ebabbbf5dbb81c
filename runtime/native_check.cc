#include "runtime/native_check.h"

#include "kernels/base/error.h"
#include "runtime/expert_reader.h"
#include "runtime/model_weights.h"

namespace switchyard {
namespace {

void check_bytes(const PackedExtent& extent, int64_t expected, const std::string& what,
                 const Checkpoint& checkpoint) {
  if (extent.bytes == expected) return;
  fail_input(checkpoint.directory, ": ", what, " takes ", extent.bytes, " bytes; expected ",
             expected, ": the checkpoint is damaged; convert the original again");
}

}  // namespace

void check_native(const Checkpoint& checkpoint, const Backend& backend) {
  if (!checkpoint.native) return;
  const NativeLayout& native = *checkpoint.native;
  if (native.packing != backend.packing_name()) {
    fail_input(checkpoint.directory, ": its weights are packed as '", printable(native.packing),
               "', ", backend.description(), " computes with '", backend.packing_name(),
               "'; convert the original again");
  }
  for (size_t layer = 0; layer < native.experts.size(); ++layer) {
    for (size_t expert = 0; expert < native.experts[layer].size(); ++expert) {
      const ExpertId id{static_cast<int>(layer), static_cast<int64_t>(expert)};
      check_bytes(native.experts[layer][expert],
                  expert_slot_bytes(expert_shape(checkpoint, id), backend),
                  concat("expert ", expert, " of MoE layer ", layer), checkpoint);
    }
  }
  for (const DenseSpec& spec : dense_table(checkpoint.config, checkpoint.index, backend)) {
    const auto packed = native.matrices.find(spec.name);
    const bool is_packed = packed != native.matrices.end();
    if (is_packed != spec.weight_spec().quantization.is_on()) {
      fail_input(checkpoint.directory, ": tensor '", spec.name, "' is ",
                 is_packed ? "packed, but the model keeps it as it is"
                           : "not packed, but the model keeps it quantised",
                 "; convert the original again");
    }
    if (is_packed) check_bytes(packed->second, spec.device_bytes, spec.name, checkpoint);
  }
}

}  // namespace switchyard
