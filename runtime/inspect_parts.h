// The sections of `inspect`'s report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/report.h"

namespace switchyard {

/// Every setting of the model in words.
ReportSection architecture_section(const ModelConfig& config);

/// Adds the settings of layers with experts and their routers.
void add_expert_facts(const ModelConfig& config, ReportSection& section);

/// Adds a multiplier that is not 1.
void add_multiplier(const std::string& name, float value, ReportSection& section);

/// Parameters and bytes by what they are for and how they are stored, and their totals: all, those
/// outside the experts, the experts', and those that one token uses.
std::vector<ReportSection> parameter_sections(const Checkpoint& checkpoint);

/// Each file with its container, its size, and the tensors and experts in it.
ReportSection file_section(const Checkpoint& checkpoint);

/// Every tensor under its canonical name.
ReportSection tensor_section(const Checkpoint& checkpoint);

/// What each of `num_ranks` ranks would hold if `score` ran with its default options. Equal
/// neighbours share a row. Throws Error(kUsage) if those options cannot work.
ReportSection rank_section(const Checkpoint& checkpoint, int num_ranks, const Backend& backend);

/// The report on a single file of a checkpoint. Throws Error(kInput) as loading it would.
std::vector<ReportSection> file_report(const std::string& path);

/// "safetensors" by a file's name; "torch zip" or "torch legacy" by its first bytes.
std::string container_name(const std::string& path);

}  // namespace switchyard
