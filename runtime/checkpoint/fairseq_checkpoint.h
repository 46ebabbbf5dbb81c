// One fairseq checkpoint out of the headers of its files.
#pragma once

#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/fairseq_header.h"
#include "runtime/checkpoint/fairseq_parts.h"

namespace switchyard {

/// Joins the files' headers (in the order of find_fairseq_files) and their parts to a checkpoint
/// whose tensors are proven complete. Experts get their global ids: rank of the file * experts a
/// file + local number. The same headers give the same result on every rank. Throws Error(kInput)
/// naming file and tensor.
Checkpoint merge_fairseq_headers(const std::string& directory,
                                 const std::vector<FairseqHeader>& headers,
                                 const FairseqParts& parts);

}  // namespace switchyard
