#include "runtime/numerics.h"

#include "kernels/base/error.h"
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

}  // namespace

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
