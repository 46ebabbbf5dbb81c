// The numerics id: what decides the bits of a result.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/control_channel.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// Equal ids promise bit-identical log-probs, whatever the ranks, batches, placement and threads.
struct NumericsId {
  std::string arithmetic_class;  // "cpu-fp32"
  std::string weight_type;       // "fp16": weight_type_text()
  std::string kv_type;           // "fp32"
  std::string wire_type;         // "fp32"
  std::string attention_form;    // "expanded"

  /// "cpu-fp32/weights=fp16/kv=fp32/wire=fp32/attention=expanded".
  std::string text() const;
};

/// Quantises a model as a run asks for it. What is off in `asked` stays as the checkpoint keeps it;
/// experts of a model without any are off. Throws Error(kUsage) where the checkpoint `model` was
/// converted to another form than is asked for.
void quantize_as_asked(const WeightQuantization& asked, const std::string& model,
                       ModelConfig& config);

/// Agrees on the job's id. `requested` is "auto" (the best class common to all ranks that does not
/// lower the precision) or a class by name. Collective. Throws AgreedError(kUsage) naming the ranks
/// that lack a forced class.
NumericsId agree_on_numerics(const std::string& requested, const Backend& backend,
                             const Checkpoint& checkpoint, ControlChannel& control);

}  // namespace switchyard
