#include "kernels/cpu/quantized_layout.h"

#include "kernels/base/error.h"

namespace switchyard::cpu {
namespace {

/// Bytes of the scales and offsets of one output in one group.
int64_t scale_bytes(CodeForm form) {
  switch (form) {
    case CodeForm::kE4m3:
      return 4;
    case CodeForm::kE2m1:
      return 1;
    case CodeForm::kInt3:
    case CodeForm::kInt2:
      return 1 + 1;
    default:
      return 2 + 4;
  }
}

}  // namespace

CodeForm form_of(const GroupQuantization& quantization) {
  const int bits = quantization.bits;
  switch (quantization.codes) {
    case CodeType::kE4m3:
      SWITCHYARD_CHECK(bits == 8, "floats of ", bits, " bits");
      return CodeForm::kE4m3;
    case CodeType::kE2m1:
      SWITCHYARD_CHECK(bits == 4, "floats of ", bits, " bits");
      return CodeForm::kE2m1;
    case CodeType::kInteger:
      break;
  }
  for (const CodeForm form : {CodeForm::kInt8, CodeForm::kInt4, CodeForm::kInt3, CodeForm::kInt2}) {
    if (code_bits(form) == bits) return form;
  }
  SWITCHYARD_CHECK(false, "codes of ", bits, " bits");
  return CodeForm::kNone;
}

QuantizedLayout layout_of(const WeightSpec& spec) {
  const int64_t group = spec.quantization.group;
  SWITCHYARD_CHECK(group > 0 && group % kCodesPerBlock == 0, "groups of ", group, " inputs");
  QuantizedLayout layout;
  layout.form = form_of(spec.quantization);
  layout.bits = spec.quantization.bits;
  layout.group = group;
  layout.cols = spec.cols;
  layout.header_bytes = has_coded_scales(layout.bits) ? kPanelWidth * 4 : 0;
  layout.scales_bytes = kPanelWidth * scale_bytes(layout.form);
  layout.block_bytes = kPanelWidth * kCodesPerBlock * layout.bits / 8;
  layout.group_bytes = layout.scales_bytes + group / kCodesPerBlock * layout.block_bytes;
  const int64_t groups = (spec.cols + group - 1) / group;
  const int64_t blocks = (spec.cols + kCodesPerBlock - 1) / kCodesPerBlock;
  layout.panel_bytes =
      align_up(layout.header_bytes + groups * layout.scales_bytes + blocks * layout.block_bytes);
  return layout;
}

}  // namespace switchyard::cpu
