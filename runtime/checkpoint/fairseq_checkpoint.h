// One fairseq checkpoint out of the headers of its files.
#pragma once

#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/fairseq_header.h"

namespace switchyard {

/// Joins the files' headers (in the order of find_fairseq_files) to a checkpoint whose tensors are
/// proven complete. Experts get their global ids: file number * experts a file + local number. The
/// same headers give the same result on every rank. Throws Error(kInput) naming file and tensor.
Checkpoint merge_fairseq_headers(const std::string& directory,
                                 const std::vector<FairseqHeader>& headers);

}  // namespace switchyard
