// How large a run's calls get, for backends that need memory of their own for them.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ops.h"
#include "kernels/weight.h"

namespace switchyard {

/// The largest calls of a compute stream.
struct WorkSizes {
  /// Rows that matrices of one shape multiply in one call, each its own.
  struct Product {
    WeightSpec weight;
    int64_t rows = 0;  // of each
    int64_t count = 1;
  };
  /// Rows of a grouped_ffn and the experts that share them.
  struct Experts {
    WeightSpec up, down;
    FfnForm form;
    int64_t rows = 0;
    int64_t groups = 0;
  };

  std::vector<Product> products;
  std::vector<Experts> experts;  // of each shape
  int64_t routed_rows = 0;
  RouterSettings router;
  int64_t logit_rows = 0;  // of log_probs and sample
  int64_t vocabulary = 0;
};

}  // namespace switchyard
