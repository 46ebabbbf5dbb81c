// The values of the enumerations in a model's configuration, as files name them.
#pragma once

#include "kernels/base/dtype.h"
#include "kernels/base/value_text.h"
#include "runtime/model_config.h"

namespace switchyard {

// Every value's name, for JsonForm. The argument only chooses the enumeration.

const Choices<DType>& names_of(DType);
const Choices<FfnKind>& names_of(FfnKind);
const Choices<PositionKind>& names_of(PositionKind);
const Choices<NormKind>& names_of(NormKind);
const Choices<NormPlacement>& names_of(NormPlacement);
const Choices<FinalNorm>& names_of(FinalNorm);
const Choices<HasBias>& names_of(HasBias);
const Choices<PadRouting>& names_of(PadRouting);
const Choices<NormOrder>& names_of(NormOrder);
const Choices<SlotOrder>& names_of(SlotOrder);
const Choices<AttentionKind>& names_of(AttentionKind);
const Choices<AttentionForm>& names_of(AttentionForm);
const Choices<HeadNorm>& names_of(HeadNorm);
const Choices<HeadNormOrder>& names_of(HeadNormOrder);
const Choices<Activation>& names_of(Activation);
const Choices<GluLayout>& names_of(GluLayout);
const Choices<SharedExpertGate>& names_of(SharedExpertGate);
const Choices<GateNetwork>& names_of(GateNetwork);
const Choices<GateNorm>& names_of(GateNorm);
const Choices<GateScore>& names_of(GateScore);
const Choices<GateSelector>& names_of(GateSelector);
const Choices<GroupScore>& names_of(GroupScore);
const Choices<RopeLayout>& names_of(RopeLayout);
const Choices<RopeScaling>& names_of(RopeScaling);
const Choices<WeightTyping>& names_of(WeightTyping);
const Choices<CodeType>& names_of(CodeType);

}  // namespace switchyard
