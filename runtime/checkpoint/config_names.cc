#include "runtime/checkpoint/config_names.h"

namespace switchyard {
namespace {

/// Every numeric type that a name_of() of its own has.
Choices<DType> dtype_names() {
  Choices<DType> names;
  for (const DType dtype :
       {DType::kF32, DType::kF16, DType::kBF16, DType::kI32, DType::kI64, DType::kU8}) {
    names.emplace_back(name_of(dtype), dtype);
  }
  return names;
}

}  // namespace

// The names stand in files: they never change, new ones may be added.

const Choices<DType>& names_of(DType) {
  static const Choices<DType> names = dtype_names();
  return names;
}

const Choices<FfnKind>& names_of(FfnKind) {
  static const Choices<FfnKind> names = {{"dense", FfnKind::kDense}, {"moe", FfnKind::kMoe}};
  return names;
}

const Choices<PositionKind>& names_of(PositionKind) {
  static const Choices<PositionKind> names = {{"sinusoidal", PositionKind::kSinusoidal},
                                              {"learned", PositionKind::kLearned},
                                              {"rotary", PositionKind::kRotary}};
  return names;
}

const Choices<NormKind>& names_of(NormKind) {
  static const Choices<NormKind> names = {{"layer", NormKind::kLayerNorm},
                                          {"rms", NormKind::kRmsNorm}};
  return names;
}

const Choices<NormPlacement>& names_of(NormPlacement) {
  static const Choices<NormPlacement> names = {{"pre", NormPlacement::kPre},
                                               {"post", NormPlacement::kPost}};
  return names;
}

const Choices<FinalNorm>& names_of(FinalNorm) {
  static const Choices<FinalNorm> names = {{"applied", FinalNorm::kApplied},
                                           {"absent", FinalNorm::kAbsent}};
  return names;
}

const Choices<HasBias>& names_of(HasBias) {
  static const Choices<HasBias> names = {{"no", HasBias::kNo}, {"yes", HasBias::kYes}};
  return names;
}

const Choices<PadRouting>& names_of(PadRouting) {
  static const Choices<PadRouting> names = {{"routed", PadRouting::kRouted},
                                            {"masked", PadRouting::kMasked}};
  return names;
}

const Choices<NormOrder>& names_of(NormOrder) {
  static const Choices<NormOrder> names = {{"before_dropping", NormOrder::kBeforeDropping},
                                           {"after_dropping", NormOrder::kAfterDropping}};
  return names;
}

const Choices<SlotOrder>& names_of(SlotOrder) {
  static const Choices<SlotOrder> names = {{"rows", SlotOrder::kRows},
                                           {"probability", SlotOrder::kProbability}};
  return names;
}

const Choices<AttentionKind>& names_of(AttentionKind) {
  static const Choices<AttentionKind> names = {{"heads", AttentionKind::kHeads},
                                               {"latent", AttentionKind::kLatent}};
  return names;
}

const Choices<AttentionForm>& names_of(AttentionForm) {
  static const Choices<AttentionForm> names = {{"expanded", AttentionForm::kExpanded},
                                               {"absorbed", AttentionForm::kAbsorbed}};
  return names;
}

const Choices<HeadNorm>& names_of(HeadNorm) {
  static const Choices<HeadNorm> names = {{"none", HeadNorm::kNone},
                                          {"per_head", HeadNorm::kPerHead},
                                          {"full_width", HeadNorm::kFullWidth}};
  return names;
}

const Choices<HeadNormOrder>& names_of(HeadNormOrder) {
  static const Choices<HeadNormOrder> names = {{"before_rope", HeadNormOrder::kBeforeRope},
                                               {"after_rope", HeadNormOrder::kAfterRope}};
  return names;
}

const Choices<Activation>& names_of(Activation) {
  static const Choices<Activation> names = {
      {"none", Activation::kNone}, {"relu", Activation::kRelu},
      {"gelu", Activation::kGelu}, {"gelu_tanh", Activation::kGeluTanh},
      {"silu", Activation::kSilu}, {"tanh", Activation::kTanh}};
  return names;
}

const Choices<GluLayout>& names_of(GluLayout) {
  static const Choices<GluLayout> names = {{"none", GluLayout::kNone},
                                           {"halves", GluLayout::kHalves},
                                           {"interleaved", GluLayout::kInterleaved}};
  return names;
}

const Choices<SharedExpertGate>& names_of(SharedExpertGate) {
  static const Choices<SharedExpertGate> names = {{"none", SharedExpertGate::kNone},
                                                  {"sigmoid", SharedExpertGate::kSigmoid}};
  return names;
}

const Choices<GateNetwork>& names_of(GateNetwork) {
  static const Choices<GateNetwork> names = {{"linear", GateNetwork::kLinear},
                                             {"tanh_mlp", GateNetwork::kTanhMlp}};
  return names;
}

const Choices<GateNorm>& names_of(GateNorm) {
  static const Choices<GateNorm> names = {{"none", GateNorm::kNone},
                                          {"chosen", GateNorm::kChosen},
                                          {"softmax", GateNorm::kSoftmax},
                                          {"ones", GateNorm::kOnes}};
  return names;
}

const Choices<GateScore>& names_of(GateScore) {
  static const Choices<GateScore> names = {{"softmax", GateScore::kSoftmax},
                                           {"sigmoid", GateScore::kSigmoid},
                                           {"logits", GateScore::kLogits}};
  return names;
}

const Choices<GateSelector>& names_of(GateSelector) {
  static const Choices<GateSelector> names = {{"top_k", GateSelector::kTopK},
                                              {"sparse_mixer", GateSelector::kSparseMixer}};
  return names;
}

const Choices<GroupScore>& names_of(GroupScore) {
  static const Choices<GroupScore> names = {{"largest", GroupScore::kLargest},
                                            {"top_two", GroupScore::kTopTwo}};
  return names;
}

const Choices<RopeLayout>& names_of(RopeLayout) {
  static const Choices<RopeLayout> names = {{"halves", RopeLayout::kHalves},
                                            {"interleaved", RopeLayout::kInterleaved}};
  return names;
}

const Choices<RopeScaling>& names_of(RopeScaling) {
  static const Choices<RopeScaling> names = {
      {"none", RopeScaling::kNone},         {"linear", RopeScaling::kLinear},
      {"dynamic", RopeScaling::kDynamic},   {"yarn", RopeScaling::kYarn},
      {"longrope", RopeScaling::kLongRope}, {"llama3", RopeScaling::kLlama3}};
  return names;
}

const Choices<CodeType>& names_of(CodeType) {
  static const Choices<CodeType> names = {
      {"integer", CodeType::kInteger}, {"e4m3", CodeType::kE4m3}, {"e2m1", CodeType::kE2m1}};
  return names;
}

const Choices<WeightTyping>& names_of(WeightTyping) {
  static const Choices<WeightTyping> names = {{"one_type", WeightTyping::kOneType},
                                              {"as_stored", WeightTyping::kAsStored}};
  return names;
}

}  // namespace switchyard
