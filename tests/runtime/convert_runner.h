// Runs `convert` with ranks as threads.
#pragma once

#include <string>

#include "runtime/convert.h"

namespace switchyard {

/// Runs the command on `num_ranks` threads. Rethrows what it throws.
void convert(const ConvertOptions& options, int num_ranks = 1);

/// Options of one thread that keep all bits; `model` as test_data() takes it.
ConvertOptions convert_options(const std::string& model, const std::string& output);

}  // namespace switchyard
