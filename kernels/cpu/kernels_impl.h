// Fills the table of one instruction set. Included only by kernels_<set>.cc, after nothing that
// those files' flags could change: what is not a template over the vector type does not belong
// here, for the linker would keep one copy of it for all machines.
#pragma once

#include "kernels/cpu/activate_impl.h"
#include "kernels/cpu/attention_impl.h"
#include "kernels/cpu/kernels.h"
#include "kernels/cpu/layer_norm_impl.h"
#include "kernels/cpu/log_probs_impl.h"
#include "kernels/cpu/matmul_quantized_impl.h"
#include "kernels/cpu/quantize_impl.h"
#include "kernels/cpu/rms_norm_impl.h"
#include "kernels/cpu/rope_impl.h"
#include "kernels/cpu/route_impl.h"
#include "kernels/cpu/sample_impl.h"

namespace switchyard::cpu {

/// The table of the instruction set whose vector type is Vec.
template <class Vec>
constexpr CpuKernels make_kernels(InstructionSet set) {
  CpuKernels table;
  table.instruction_set = set;
  table.tile_rows = MatmulShape<Vec>::kTileRows;
  for (int rows = 1; rows <= table.tile_rows; ++rows) {
    table.panels_per_pass[rows] = MatmulShape<Vec>::panels_per_pass(rows);
  }
  table.pack_tile = &pack_tile<Vec>;
  table.matmul_block = &matmul_block<Vec>;
  table.unpack_row = &unpack_row<Vec>;
  table.fit_group = &fit_group<Vec>;
  table.group_scales = &group_scales<Vec>;
  table.widen = &widen<Vec>;
  table.layer_norm_row = &layer_norm_row<Vec>;
  table.rms_norm_head = &rms_norm_head<Vec>;
  table.rope_table_row = &rope_table_row<Vec>;
  table.rope_head = &rope_head<Vec>;
  table.attention_block = &attention_block<Vec>;
  table.glu_row = &glu_row<Vec>;
  table.route_row = &route_row<Vec>;
  table.sigmoid = &sigmoid_of<Vec>;
  table.row_maximum = &row_maximum<Vec>;
  table.token_odds = &token_odds<Vec>;
  table.log_normaliser = &log_normaliser<Vec>;
  return table;
}

}  // namespace switchyard::cpu
