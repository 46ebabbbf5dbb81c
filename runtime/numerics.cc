#include "runtime/numerics.h"

#include "kernels/base/error.h"
#include "kernels/quantization.h"
#include "runtime/model_weights.h"

namespace switchyard {

std::string NumericsId::text() const {
  return concat(arithmetic_class, "/weights=", weight_type, "/kv=", kv_type, "/wire=", wire_type,
                "/attention=", attention_form);
}

namespace {

/// Throws Error(kInput) naming the first matrix that no model can compute with.
void check_matrix_types(const Checkpoint& checkpoint) {
  for (const auto& [name, entry] : checkpoint.index.tensors) {
    if (entry.shape.size() >= 2) kept_type(checkpoint.config, entry.dtype, name);
  }
}

/// What the run asks for, `asked`, of matrices that the checkpoint keeps as `stored`.
GroupQuantization choose_quantization(const char* option, const std::string& model,
                                      const GroupQuantization& asked,
                                      const GroupQuantization& stored) {
  if (!stored.is_on()) return asked;
  if (asked.is_on() && asked != stored) {
    fail_usage(option, " asks for ", name_of(asked), ", but ", model, " was converted to ",
               name_of(stored),
               ", which cannot be turned into it: leave the "
               "option out, or give the checkpoint it was converted from");
  }
  return stored;
}

}  // namespace

void quantize_as_asked(const WeightQuantization& asked, const std::string& model,
                       ModelConfig& config) {
  WeightQuantization& kept = config.quantization;
  kept.experts = choose_quantization("--expert-dtype", model, asked.experts, kept.experts);
  kept.attention = choose_quantization("--attention-dtype", model, asked.attention, kept.attention);
  if (config.num_moe_layers() == 0) kept.experts = {};
}

NumericsId agree_on_numerics(const std::string& requested, const Backend& backend,
                             const Checkpoint& checkpoint, ControlChannel& control) {
  constexpr CollectiveLabel kLabel = {.phase = "agreement on the numerics"};
  const std::vector<std::string> classes =
      control.all_gather(std::string(backend.arithmetic_class()), kLabel);
  NumericsId id;
  control.agree(
      [&] {
        id.arithmetic_class = requested == "auto" ? classes.front() : requested;
        for (size_t rank = 0; rank < classes.size(); ++rank) {
          if (classes[rank] != id.arithmetic_class) {
            fail_usage("--numerics ", requested, ": rank ", rank, " computes in class ",
                       classes[rank], ", not ", id.arithmetic_class,
                       "; this build offers cpu-fp32 on every rank");
          }
        }
        check_matrix_types(checkpoint);
      },
      kLabel);
  id.weight_type = weight_type_text(checkpoint.config);
  id.kv_type = "fp32";
  id.wire_type = "fp32";
  const ModelConfig& config = checkpoint.config;
  const bool is_absorbed = config.attention == AttentionKind::kLatent &&
                           config.attention_form == AttentionForm::kAbsorbed;
  id.attention_form = is_absorbed ? "absorbed" : "expanded";
  return id;
}

}  // namespace switchyard
