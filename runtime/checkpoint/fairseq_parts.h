// The parts of a fairseq checkpoint: which file, or which shards together, gives each.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/fairseq_header.h"
#include "runtime/checkpoint/fairseq_names.h"

namespace switchyard {

/// The tensors of one file, or of shards together, by their current names. Files of entries are
/// numbers of headers.
struct FairseqPart {
  size_t file = 0;  // the header that stands for the part in messages
  std::vector<NamedTensor> tensors;
};

/// One tensor in two copies of a part, of the same shape and type, whose bytes nobody compared.
struct UnprovenCopy {
  std::string name;  // in the files
  TensorEntry used, copy;
};

struct FairseqParts {
  FairseqPart main;                // the whole checkpoint or the shared part
  std::vector<FairseqPart> ranks;  // in the order of the ranks
  std::vector<UnprovenCopy> unproven;
};

/// Joins shards, and checks that copies of the shared part agree in names, shapes, types and, where
/// the containers have checksums, in contents. The headers are in the order of find_fairseq_files.
/// Throws Error(kInput) naming the files and the tensor that differ.
FairseqParts collect_fairseq_parts(const std::vector<FairseqHeader>& headers);

/// Reads both tensors of every `stride`-th copy from `first` on and compares their bytes. Returns
/// the bytes read. Throws Error(kInput) naming both files and the tensor if they differ.
int64_t compare_copies(const CheckpointIndex& index, const std::vector<UnprovenCopy>& copies,
                       size_t first, size_t stride);

}  // namespace switchyard
