// Codes of a checkpoint that packed matrices keep as they are.
#pragma once

#include "kernels/weight.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// The codes of a matrix, where all of it has one form of them that Backend::pack_weight takes;
/// else off.
GroupQuantization given_codes(const TensorEntry& entry);

/// The matrix as pack_weight is given its codes, which it has.
WeightSpec code_rows(const TensorEntry& entry);

}  // namespace switchyard
