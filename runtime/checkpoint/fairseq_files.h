// Which files of a folder make up a fairseq checkpoint.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace switchyard {

enum class FairseqFileRole : uint8_t {
  kWhole,   ///< everything
  kShared,  ///< everything but the experts
  kRank,    ///< some experts of every MoE layer
};

struct FairseqFile {
  std::string path;
  FairseqFileRole role = FairseqFileRole::kWhole;
  int64_t rank = -1;   // the number in the name of a kRank file, -1 for others
  int64_t shard = -1;  // the number behind "-shard" in the name, -1 where there is none
};

/// The files of the checkpoint in `directory`: STEM.pt, or STEM-shared.pt and then STEM-rank-0.pt
/// to STEM-rank-(n-1).pt in numeric order. Trainings with sharded state add -shardN to every name;
/// such files of a whole checkpoint or of the shared part, with or without the plain one, stand in
/// numeric order behind it: shards or copies, as their tensors tell. The stem is "model" if there
/// is such a checkpoint, else the only one there is. Throws Error(kInput) naming the folder and the
/// files for a missing file, a rank that stands twice, or several checkpoints.
std::vector<FairseqFile> find_fairseq_files(const std::string& directory);

}  // namespace switchyard
