#include "runtime/numerics.h"

#include <algorithm>
#include <optional>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/quantization.h"
#include "runtime/checkpoint/given_codes.h"
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

/// The one type of all matrices of the checkpoint as they are kept, or fp32 for several. Numbers of
/// 8-bit floats are exact in no 16-bit type; those who publish them compute in that of the others.
DType common_type(const Checkpoint& checkpoint) {
  std::optional<DType> common;
  for (const auto& [name, entry] : checkpoint.index.tensors) {
    if (entry.shape.size() < 2 || given_codes(entry).codes == CodeType::kE4m3) continue;
    const DType kept = kept_type(checkpoint.config, entry.dtype, name);
    if (common.value_or(kept) != kept) return DType::kF32;
    common = kept;
  }
  return common.value_or(DType::kF32);
}

Arithmetic arithmetic_for(DType type) {
  if (type == DType::kBF16) return Arithmetic::kBf16;
  return type == DType::kF16 ? Arithmetic::kFp16 : Arithmetic::kFp32;
}

/// Their names, each with a space behind it.
std::string names_of(const std::vector<ArithmeticClass>& classes) {
  std::string names;
  for (const ArithmeticClass& offered : classes) names += offered.name + ' ';
  return names;
}

/// The first rank that lacks a class, or none.
std::optional<size_t> rank_without(const std::string& name,
                                   const std::vector<std::string>& names_of_ranks) {
  for (size_t rank = 0; rank < names_of_ranks.size(); ++rank) {
    if (names_of_ranks[rank].find(name + ' ') == std::string::npos) return rank;
  }
  return std::nullopt;
}

ArithmeticClass choose_automatically(const std::vector<ArithmeticClass>& own,
                                     const std::vector<std::string>& names_of_ranks,
                                     const Checkpoint& checkpoint) {
  const Arithmetic wanted = arithmetic_for(common_type(checkpoint));
  for (const ArithmeticClass& offered : own) {
    const bool fits = offered.arithmetic == wanted && !offered.is_fast &&
                      (!checkpoint.native || offered.packing == checkpoint.native->packing);
    if (fits && !rank_without(offered.name, names_of_ranks)) return offered;
  }
  return own.front();
}

/// The fast class of the type that "auto" would choose.
ArithmeticClass choose_fast(const std::vector<ArithmeticClass>& own, const Checkpoint& checkpoint) {
  const Arithmetic wanted = arithmetic_for(common_type(checkpoint));
  for (const ArithmeticClass& offered : own) {
    if (offered.is_fast && offered.arithmetic == wanted) return offered;
  }
  const bool has_fast =
      std::ranges::any_of(own, [](const ArithmeticClass& offered) { return offered.is_fast; });
  if (!has_fast) {
    fail_usage("--numerics fast: this rank computes in ", names_of(own),
               "only; fast classes need --backend cuda on every rank");
  }
  fail_usage("--numerics fast: the matrices of ", checkpoint.directory,
             " have no 16-bit type in common; choose bf16-fast or fp16-fast");
}

/// What `requested` means for this job; see agree_on_numerics().
ArithmeticClass choose_class(const std::string& requested, const std::vector<ArithmeticClass>& own,
                             const std::vector<std::string>& names_of_ranks,
                             const Checkpoint& checkpoint) {
  ArithmeticClass chosen = own.front();
  if (requested == "auto") {
    chosen = choose_automatically(own, names_of_ranks, checkpoint);
  } else if (requested == "fast") {
    chosen = choose_fast(own, checkpoint);
  } else {
    const auto is_meant = [&](const ArithmeticClass& offered) {
      return offered.name == requested || offered.name.ends_with("-" + requested);
    };
    const auto found = std::ranges::find_if(own, is_meant);
    if (found == own.end()) {
      fail_usage("--numerics ", requested, ": this rank computes in ", names_of(own),
                 "only; classes of GPUs need --backend cuda on every rank");
    }
    chosen = *found;
  }
  if (const std::optional<size_t> rank = rank_without(chosen.name, names_of_ranks)) {
    fail_usage("--numerics ", requested, ": rank ", *rank, " computes in ", names_of_ranks[*rank],
               "and not in ", chosen.name, "; cpu-fp32 is there on every rank");
  }
  return chosen;
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

NumericsId agree_on_numerics(const std::string& requested, Backend& backend,
                             const Checkpoint& checkpoint, ControlChannel& control) {
  constexpr CollectiveLabel kLabel = {.phase = "agreement on the numerics"};
  const std::vector<ArithmeticClass> own = backend.arithmetic_classes();
  const std::vector<std::string> names_of_ranks = control.all_gather(names_of(own), kLabel);
  NumericsId id;
  const auto use = [&](const std::string& asked) {
    control.agree(
        [&] {
          check_matrix_types(checkpoint);
          const ArithmeticClass chosen = choose_class(asked, own, names_of_ranks, checkpoint);
          backend.use(chosen);
          id.arithmetic_class = chosen.name;
        },
        kLabel);
  };
  try {
    use(requested);
  } catch (const AgreedError& error) {
    // A device that cannot keep what its class promises says so when it is asked to use it.
    if (requested != "auto" || error.kind() != ErrorKind::kResource) throw;
    if (control.rank() == 0) log_warning(error.what(), "; computing in cpu-fp32");
    use("cpu-fp32");
  }
  id.weight_type = weight_type_text(checkpoint.config);
  id.kv_type = name_of(backend.key_value_type());
  id.wire_type = "fp32";
  const ModelConfig& config = checkpoint.config;
  const bool is_absorbed = config.attention == AttentionKind::kLatent &&
                           config.attention_form == AttentionForm::kAbsorbed;
  id.attention_form = is_absorbed ? "absorbed" : "expanded";
  return id;
}

}  // namespace switchyard
