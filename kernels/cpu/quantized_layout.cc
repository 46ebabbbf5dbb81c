#include "kernels/cpu/quantized_layout.h"

#include "kernels/base/error.h"

namespace switchyard::cpu {

QuantizedLayout layout_of(const WeightSpec& spec) {
  const auto [bits, group] = spec.quantization;
  SWITCHYARD_CHECK(bits == 8 || bits == 4 || bits == 3 || bits == 2, "codes of ", bits, " bits");
  SWITCHYARD_CHECK(group > 0 && group % kCodesPerBlock == 0, "groups of ", group, " inputs");
  QuantizedLayout layout;
  layout.bits = bits;
  layout.group = group;
  layout.cols = spec.cols;
  layout.header_bytes = has_coded_scales(bits) ? kPanelWidth * 4 : 0;
  layout.scales_bytes = kPanelWidth * (has_coded_scales(bits) ? 1 + 1 : 2 + 4);
  layout.block_bytes = kPanelWidth * kCodesPerBlock * bits / 8;
  layout.group_bytes = layout.scales_bytes + group / kCodesPerBlock * layout.block_bytes;
  const int64_t groups = (spec.cols + group - 1) / group;
  const int64_t blocks = (spec.cols + kCodesPerBlock - 1) / kCodesPerBlock;
  layout.panel_bytes =
      align_up(layout.header_bytes + groups * layout.scales_bytes + blocks * layout.block_bytes);
  return layout;
}

}  // namespace switchyard::cpu
