#include "runtime/synthesize.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/base/byte_size.h"
#include "kernels/base/thread_pool.h"
#include "runtime/output_folder.h"
#include "runtime/synthetic_files.h"

namespace switchyard {
namespace {

/// The preset on every rank: rank 0 reads it.
ModelPreset share_preset(const SynthesizeOptions& options, ControlChannel& control) {
  constexpr CollectiveLabel kLabel{.phase = "preset"};
  std::string text;
  control.agree(
      [&] {
        if (control.rank() == 0) text = read_preset(options.preset);
      },
      kLabel);
  text = control.broadcast(text, 0, kLabel);
  ModelPreset model;
  control.agree([&] { model = parse_preset(text, options.preset, options.changes); }, kLabel);
  return model;
}

std::string type_text(const ModelPreset& model) {
  const std::string rest(name_of(model.dtype));
  const Quantization form = model.hf ? model.hf->model.quantization : Quantization::kNone;
  if (form == Quantization::kNone) return rest;
  return concat(form == Quantization::kFp8Block ? "fp8" : "mxfp4", " and ", rest);
}

void log_start(const SynthesizeOptions& options, const ModelPreset& model, size_t num_files,
               int64_t bytes) {
  const ModelConfig& config = model.config;
  const std::string experts =
      config.num_moe_layers() == 0
          ? ""
          : concat(", ", config.num_moe_layers(), " with ", config.router.num_experts, " experts");
  log_info("model: ", model.name, ", ", config.num_layers(), " layers of width ",
           config.hidden_size, experts, ", ", num_parameters(config), " parameters in ",
           type_text(model), ", seed ", options.seed);
  if (model.hf) {
    for (const std::string& note : model.hf->notes) log_info(note);
  }
  log_info("to write: ", num_files, num_files == 1 ? " file, " : " files, ",
           format_byte_size(bytes), " in ", options.output);
}

/// This rank's share of the files, from plan to name.
class FileWriter {
 public:
  FileWriter(const SynthesizeOptions& options, std::vector<SyntheticFile> files, int rank,
             int num_ranks)
      : options_(options), files_(std::move(files)), rank_(rank), num_ranks_(num_ranks) {}
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;

  size_t num_files() const { return files_.size(); }
  std::vector<std::string> file_names() const {
    std::vector<std::string> names;
    for (const SyntheticFile& file : files_) names.push_back(file.name);
    return names;
  }

  /// Rounds in which every rank writes at most one file.
  int num_rounds() const {
    return static_cast<int>((files_.size() + static_cast<size_t>(num_ranks_) - 1) /
                            static_cast<size_t>(num_ranks_));
  }

  /// Of all files this rank writes.
  int64_t my_bytes() const {
    int64_t bytes = 0;
    for (int round = 0; round < num_rounds(); ++round) {
      const SyntheticFile* file = file_of(round);
      if (file != nullptr) bytes += file->bytes();
    }
    return bytes;
  }

  /// Writes this rank's file of a round, if it has one.
  void write(int round, const ByteCounter& counter) {
    const SyntheticFile* file = file_of(round);
    if (file == nullptr) return;
    // Threads are started here, where a failure is agreed on.
    if (!pool_) pool_.emplace(options_.num_threads);
    staged_.emplace_back(path_of(*file));
    file->write(*pool_, counter, staged_.back());
  }

  /// Names this rank's files, all but the one without which the others are no checkpoint.
  void publish_most() {
    for (size_t i = rank_ == 0 ? 1 : 0; i < staged_.size(); ++i) staged_[i].publish();
    sync_folder_of(path_of(files_[0]));
  }
  /// Names the last file.
  void publish_first() {
    if (rank_ != 0) return;
    staged_[0].publish();
    sync_folder_of(path_of(files_[0]));
  }

 private:
  std::string path_of(const SyntheticFile& file) const {
    return (std::filesystem::path(options_.output) / file.name).string();
  }
  const SyntheticFile* file_of(int round) const {
    const auto file =
        static_cast<size_t>(round) * static_cast<size_t>(num_ranks_) + static_cast<size_t>(rank_);
    return file < files_.size() ? &files_[file] : nullptr;
  }

  const SynthesizeOptions& options_;
  const std::vector<SyntheticFile> files_;
  const int rank_;
  const int num_ranks_;
  std::optional<ThreadPool> pool_;
  std::vector<StagedFile> staged_;
};

}  // namespace

void run_synthesize(const SynthesizeOptions& options, ControlChannel& control,
                    ProgressSink& progress) {
  // As long as a file takes.
  constexpr CollectiveLabel kWriteLabel{.phase = "writing", .patience = Patience::kForever};
  const ModelPreset model = share_preset(options, control);
  std::vector<SyntheticFile> files;
  control.agree([&] { files = synthetic_files(model, options.seed); }, {.phase = "plan"});
  FileWriter writer(options, std::move(files), control.rank(), control.size());
  const int64_t bytes = control.all_sum(writer.my_bytes(), {.phase = "plan"});
  const std::unique_ptr<OutputFolder> folder = take_output_folder(
      options.output,
      {bytes, writer.file_names(), "a smaller model by --layers, --experts or --dtype"}, control);
  const bool is_root = control.rank() == 0;
  if (is_root) {
    log_start(options, model, writer.num_files(), bytes);
    progress.start();
  }
  int64_t my_bytes = 0;   // of weights, so far
  int64_t all_bytes = 0;  // of all ranks, at the end of the last round
  for (int round = 0; round < writer.num_rounds(); ++round) {
    const int64_t before = my_bytes;
    const auto count = [&](int64_t more) {
      my_bytes += more;
      if (is_root)
        progress.update({.bytes_done = all_bytes + my_bytes - before, .total_bytes = bytes});
    };
    control.agree([&] { writer.write(round, count); }, kWriteLabel);
    all_bytes = control.all_sum(my_bytes, kWriteLabel);
  }
  control.agree([&] { writer.publish_most(); }, kWriteLabel);
  control.agree([&] { writer.publish_first(); }, kWriteLabel);
  if (is_root) progress.finish({.bytes_done = bytes, .total_bytes = bytes});
}

}  // namespace switchyard
