// Which files of a folder make up a fairseq checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

enum class FairseqFileRole : uint8_t {
  kWhole,   ///< everything, in one file
  kShared,  ///< everything but the experts
  kRank,    ///< some experts of every MoE layer
};

struct FairseqFile {
  std::string path;
  FairseqFileRole role = FairseqFileRole::kWhole;
};

/// The files of the checkpoint in `directory`: STEM.pt, or STEM-shared.pt and then STEM-rank-0.pt
/// to STEM-rank-(n-1).pt in numeric order. The stem is "model" if there is such a checkpoint, else
/// the only one there is. Throws Error(kInput) naming the folder and the files for a missing file,
/// several checkpoints, or file sets that are not supported.
std::vector<FairseqFile> find_fairseq_files(const std::string& directory);

}  // namespace switchyard
