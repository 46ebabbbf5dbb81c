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

/// Agrees on the job's id and makes the backend compute in its class. `requested` is a class by
/// name, "bf16", "fp16", "bf16-fast" or "fp16-fast" for the one of the ranks' GPUs with such
/// operands, "fast" for the fast one of the matrices' type, or "auto": of the exact classes that
/// all ranks have, the one of the type that all matrices of the checkpoint have, which so loses
/// nothing of them; else, and where a device finds that it cannot keep its class' promise,
/// cpu-fp32. The matrices of a converted checkpoint have to be packed for the class. Collective.
/// Throws AgreedError(kUsage) naming the ranks that lack a class.
NumericsId agree_on_numerics(const std::string& requested, Backend& backend,
                             const Checkpoint& checkpoint, ControlChannel& control);

}  // namespace switchyard
