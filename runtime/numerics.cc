#include "runtime/numerics.h"

#include <set>

#include "kernels/base/error.h"
#include "runtime/model_weights.h"

namespace switchyard {

std::string NumericsId::text() const {
  return concat(arithmetic_class, "/weights=", weight_type, "/kv=", kv_type, "/wire=", wire_type,
                "/attention=", attention_form);
}

namespace {

/// The types of all matrices as they are kept, joined by "+".
std::string weight_types(const Checkpoint& checkpoint) {
  std::set<std::string_view> types;
  for (const auto& [name, entry] : checkpoint.index.tensors) {
    if (entry.shape.size() < 2) continue;
    types.insert(name_of(kept_type(checkpoint.config, entry.dtype, name)));
  }
  std::string joined;
  for (const std::string_view type : types) joined += concat(joined.empty() ? "" : "+", type);
  return joined;
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
        id.weight_type = weight_types(checkpoint);
      },
      kLabel);
  id.kv_type = "fp32";
  id.wire_type = "fp32";
  id.attention_form = "expanded";
  return id;
}

}  // namespace switchyard
