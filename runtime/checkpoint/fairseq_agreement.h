// Whether the files of a fairseq checkpoint belong together.
#pragma once

#include <cstddef>
#include <vector>

#include "runtime/checkpoint/fairseq_header.h"
#include "runtime/checkpoint/fairseq_parts.h"

namespace switchyard {

/// The number of the header whose configuration holds for all: as in the reference the first rank's
/// file, or else the next that has one. Throws Error(kInput) naming two files that differ in a
/// setting, in the steps of training or, among the ranks, in a tensor's type, and if no file has a
/// configuration.
size_t agree_on_config(const std::vector<FairseqHeader>& headers, const FairseqParts& parts);

}  // namespace switchyard
