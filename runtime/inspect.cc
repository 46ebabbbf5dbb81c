#include "runtime/inspect.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/inspect_parts.h"
#include "runtime/verify_checksums.h"

namespace switchyard {
namespace {

constexpr CollectiveLabel kLabel = {.phase = "inspect", .patience = Patience::kForever};

/// What was read of a folder.
struct BytesRead {
  int64_t headers = 0;
  int64_t verified = 0;
};

/// The bytes that were held against their checksums, on every rank.
int64_t verify(const InspectOptions& options, const Checkpoint& checkpoint,
               ControlChannel& control) {
  if (options.verify == Verification::kNo) return 0;
  control.agree(
      [&] {
        if (checkpoint.native) return;
        fail_usage("--verify needs a converted checkpoint: ", options.model,
                   " has no checksums of all its weights; leave it out");
      },
      kLabel);
  return verify_checksums(checkpoint, control);
}

ReportSection summary_section(const Checkpoint& checkpoint, const BytesRead& read) {
  int64_t bytes = 0;
  for (const CheckpointFile& file : checkpoint.index.files) bytes += file.bytes;
  ReportSection section = make_facts("checkpoint", "");
  section.add_fact("path", checkpoint.directory);
  section.add_fact("fingerprint", checkpoint.fingerprint);
  if (checkpoint.native) section.add_fact("packed_as", checkpoint.native->packing);
  section.add_fact("files", static_cast<int64_t>(checkpoint.index.files.size()));
  section.add_fact("bytes", byte_value(bytes));
  section.add_fact("header_bytes_read", byte_value(read.headers));
  if (read.verified > 0) section.add_fact("verified_bytes", byte_value(read.verified));
  return section;
}

ReportSection warning_section(const Checkpoint& checkpoint) {
  ReportSection section = {"warnings", "warnings", ReportSection::Form::kLines, {"warning"}, {}};
  for (const std::string& warning : checkpoint.warnings) section.rows.push_back({warning});
  return section;
}

std::vector<ReportSection> folder_report(const InspectOptions& options,
                                         const Checkpoint& checkpoint, const BytesRead& read,
                                         const Backend& backend) {
  std::vector<ReportSection> sections = {summary_section(checkpoint, read),
                                         architecture_section(checkpoint.config),
                                         file_section(checkpoint)};
  for (ReportSection& section : parameter_sections(checkpoint)) {
    sections.push_back(std::move(section));
  }
  if (options.num_ranks > 0) {
    sections.push_back(rank_section(checkpoint, options.num_ranks, backend));
  }
  if (options.tensors == TensorListing::kYes) sections.push_back(tensor_section(checkpoint));
  sections.push_back(warning_section(checkpoint));
  return sections;
}

}  // namespace

std::string inspect(const InspectOptions& options, const Backend& backend,
                    ControlChannel& control) {
  const bool is_root = control.rank() == 0;
  std::error_code error;
  const bool is_file = is_root && std::filesystem::exists(options.model, error) &&
                       !std::filesystem::is_directory(options.model, error);
  std::vector<ReportSection> sections;
  if (control.all_max(is_file ? 1 : 0, kLabel) > 0) {
    control.agree(
        [&] {
          if (options.verify == Verification::kYes) {
            fail_usage("--verify needs the folder of a converted checkpoint; ", options.model,
                       " is a single file");
          }
          if (options.num_ranks > 0) {
            fail_usage("--ranks needs the folder of a whole checkpoint; ", options.model,
                       " is a single file");
          }
          if (is_root) sections = file_report(options.model);
        },
        kLabel);
  } else {
    const Checkpoint checkpoint = open_checkpoint(options.model, control);
    BytesRead read;
    read.headers = control.all_sum(checkpoint.header_bytes_read, kLabel);
    read.verified = verify(options, checkpoint, control);
    control.agree(
        [&] {
          if (is_root) sections = folder_report(options, checkpoint, read, backend);
        },
        kLabel);
  }
  return is_root ? format_report(sections, options.form) : "";
}

}  // namespace switchyard
