// The file of `--stats`: what a run was, and what each of its ranks and experts did.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model_config.h"
#include "runtime/run_stats.h"

namespace switchyard {

/// What a run was.
struct RunFacts {
  std::string version;  // of the program
  std::string command;
  std::string numerics;  // the numerics id
  std::string fingerprint;
  std::string model;  // directory of the checkpoint
  std::string family;
  int64_t steps = 0;
  std::vector<int64_t> moe_layers;   // their numbers in the model
  std::vector<int64_t> num_experts;  // of each
};

/// The experts' shape of a model, for RunFacts.
void set_shape(const ModelConfig& config, RunFacts& facts);

struct StatsFile {
  std::string path;  // for messages; not written
  RunFacts run;
  std::vector<RankStats> ranks;
};

/// Numbers of all ranks' logs that a file holds, for whoever reads it keeps them in memory.
inline constexpr size_t kMaxFileUses = size_t{4} << 20;

/// Cuts a rank's log, where a layer begins, so that those of `num_ranks` fit into a file.
void shorten_log(CacheStats& cache, int num_ranks);

/// The file: one JSON object {"format", "format_version", "program_version", "command", "numerics",
/// "fingerprint", "model", "steps", "ranks"}, UTF-8. Shares, rates and speeds stand beside the
/// counts that they follow from, for people and other programs; they are not read back.
std::string format_stats(const StatsFile& stats);

/// Reads what format_stats() wrote; `source` is named in messages. Strict: an entry that is
/// missing, of another type, out of its range or at odds with the others throws Error(kInput)
/// naming source and entry. Entries of other names are passed over.
StatsFile parse_stats(std::string_view text, const std::string& source);
/// The same of a file.
StatsFile read_stats_file(const std::string& path);

/// How often each expert was used on all ranks together, [MoE layer][expert]. Throws Error(kInput)
/// when the file records no uses.
std::vector<std::vector<int64_t>> uses_by_expert(const StatsFile& stats);

/// The same for a model, read from the file of an earlier run; throws Error(kInput) too when that
/// run's model had other MoE layers or experts.
std::vector<std::vector<int64_t>> read_hot_uses(const std::string& path, const ModelConfig& config);

}  // namespace switchyard
