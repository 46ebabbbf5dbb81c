#include "runtime/convert.h"

#include <filesystem>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "kernels/base/byte_codec.h"
#include "kernels/base/byte_size.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/base/text_table.h"
#include "kernels/base/thread_pool.h"
#include "kernels/quantization.h"
#include "parallel/topology.h"
#include "runtime/host_memory.h"
#include "runtime/native_writer.h"
#include "runtime/output_folder.h"
#include "runtime/tokenizer/open_tokenizer.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// As long as a file takes.
constexpr CollectiveLabel kWriteLabel{.phase = "writing", .patience = Patience::kForever};

/// The checkpoint, quantised as asked for.
Checkpoint open_source(const ConvertOptions& options, ControlChannel& control) {
  control.agree(
      [&] {
        std::error_code error;
        if (!fs::equivalent(options.model, options.output, error) || error) return;
        fail_usage("--output ", options.output, " is the folder of --model; give another --output");
      },
      {.phase = "check of the options"});
  Checkpoint checkpoint = open_checkpoint(options.model, control);
  control.agree(
      [&] {
        if (!checkpoint.native) return;
        fail_usage(options.model, " is converted already: run it as it is, or give --model the ",
                   "checkpoint it was converted from");
      },
      {.phase = "check of the options"});
  checkpoint.config.quantization = options.quantization;
  // No number of a model without experts depends on them.
  if (checkpoint.config.num_moe_layers() == 0) checkpoint.config.quantization.experts = {};
  return checkpoint;
}

/// The files beside the weights that a run reads: of the tokenizer, and config.json, which says
/// that it is one of Hugging Face.
std::set<fs::path> files_to_copy(const std::string& model) {
  std::set<fs::path> files;
  std::vector<std::string> wanted = tokenizer_files({}, model);
  wanted.push_back((fs::path(model) / "config.json").string());
  for (const std::string& path : wanted) {
    std::error_code error;
    if (!path.empty() && fs::exists(path, error)) files.emplace(path);
  }
  return files;
}

/// One conversion on one rank.
class Converter {
 public:
  Converter(const ConvertOptions& options, ControlChannel& control, ProgressSink& progress)
      : options_(options),
        control_(control),
        progress_(progress),
        backend_(make_backend({.kind = BackendKind::kCpu})),
        checkpoint_(open_source(options, control)) {}

  void run();

 private:
  bool is_root() const { return control_.rank() == 0; }
  std::string path_of(const std::string& name) const {
    return (fs::path(options_.output) / name).string();
  }

  void make_plan();
  void check_memory();
  void check_copies() const;
  void log_start() const;
  void write_files();
  void write_file(size_t number);
  void keep_checksums(size_t number, const std::vector<std::string>& parts_of_ranks);
  /// Rank 0: what is small, then all names.
  void finish_folder();
  void log_end(double seconds);

  const ConvertOptions& options_;
  ControlChannel& control_;
  ProgressSink& progress_;
  const std::unique_ptr<Backend> backend_;
  const Checkpoint checkpoint_;
  NativePlan plan_;
  int64_t bytes_per_thread_ = 0;
  std::set<fs::path> copies_;  // rank 0
  std::optional<ThreadPool> pool_;
  std::optional<NativeWriter> writer_;
  std::vector<StagedFile> staged_;  // rank 0: all files
  int64_t my_bytes_ = 0;            // written by this rank
  int64_t all_bytes_ = 0;           // written by all, at the end of the last file
};

void Converter::make_plan() {
  control_.agree(
      [&] {
        plan_ = plan_native(checkpoint_, *backend_, options_.shard_bytes);
        bytes_per_thread_ = NativeWriter::bytes_per_thread(checkpoint_, plan_);
        if (is_root()) copies_ = files_to_copy(options_.model);
      },
      {.phase = "plan"});
}

void Converter::check_memory() {
  const Topology topology = discover_topology(control_);
  const int64_t threads = int64_t{options_.num_threads} * topology.local_size;
  const int64_t free = free_host_memory();
  control_.agree(
      [&] {
        if (threads * bytes_per_thread_ <= free) return;
        fail_resource("host ", topology.hostname, ": converting with ", options_.num_threads,
                      " threads on each of ", topology.local_size, " ranks takes ",
                      format_byte_size(threads * bytes_per_thread_), ", but ",
                      format_byte_size(free), " are free; give fewer --threads");
      },
      {.phase = "memory plan"});
}

void Converter::check_copies() const {
  for (const fs::path& file : copies_) {
    std::error_code error;
    const std::string there = path_of(file.filename().string());
    if (!fs::exists(there, error)) continue;
    fail_input(there,
               ": stands there already, and nothing is overwritten; remove it or give "
               "another --output");
  }
}

void Converter::log_start() const {
  const ModelConfig& config = checkpoint_.config;
  int64_t source_bytes = 0;
  for (const CheckpointFile& file : checkpoint_.index.files) source_bytes += file.bytes;
  for (const std::string& warning : checkpoint_.warnings) log_warning(warning);
  log_info("model: ", config.family, ", ", config.num_layers(), " layers of width ",
           config.hidden_size, ", ", config.num_moe_layers(), " with experts, ",
           format_byte_size(source_bytes), " in ", options_.model);
  log_info("to write: ", plan_.header.files.size(), " files, ", format_byte_size(plan_.bytes()),
           " in ", options_.output, "; weights ", weight_type_text(config), " packed as ",
           plan_.header.packing);
  log_info("memory of each thread: ", format_byte_size(bytes_per_thread_));
}

void Converter::write_files() {
  if (is_root()) {
    log_start();
    progress_.start();
  }
  for (size_t number = 0; number < plan_.header.files.size(); ++number) write_file(number);
}

void Converter::write_file(size_t number) {
  const std::string path = path_of(plan_.header.files[number].name);
  const int64_t before = my_bytes_;
  const auto count = [&](int64_t more) {
    my_bytes_ += more;
    if (!is_root()) return;
    progress_.update({.bytes_done = all_bytes_ + my_bytes_ - before,
                      .total_bytes = plan_.bytes(),
                      .activity = "converting,"});
  };
  ByteWriter parts;
  control_.agree(
      [&] {
        if (is_root()) staged_.emplace_back(path);
      },
      kWriteLabel);
  control_.agree(
      [&] {
        // Threads are started here, where a failure is agreed on.
        if (!pool_) pool_.emplace(options_.num_threads);
        std::optional<StagedFile> joined;
        if (!is_root()) joined.emplace(StagedFile::join(path));
        StagedFile& file = joined ? *joined : staged_.back();
        parts.put_vector(writer_->write(number, file, *pool_, count));
      },
      kWriteLabel);
  all_bytes_ = control_.all_sum(my_bytes_, kWriteLabel);
  keep_checksums(number, control_.gather(parts.bytes(), 0, kWriteLabel));
}

void Converter::keep_checksums(size_t number, const std::vector<std::string>& parts_of_ranks) {
  if (!is_root()) return;
  std::vector<uint32_t> pieces(number == 0 ? dense_pieces(plan_).size() : 0);
  for (const std::string& bytes : parts_of_ranks) {
    for (const WrittenPart& part : ByteReader(bytes).get_vector<WrittenPart>()) {
      const auto i = static_cast<size_t>(part.number);
      if (number == 0) {
        pieces.at(i) = part.crc32;
      } else if (const NativeItem& item = plan_.items.at(i); item.expert) {
        plan_.header
            .experts[static_cast<size_t>(item.expert->moe_layer)]
                    [static_cast<size_t>(item.expert->expert)]
            .extent.crc32 = part.crc32;
      } else {
        plan_.header.matrices.at(item.matrix).extent.crc32 = part.crc32;
      }
    }
  }
  if (number == 0) plan_.header.dense_crc32 = dense_checksum(plan_, pieces);
}

void Converter::finish_folder() {
  if (!is_root()) return;
  const auto add_file = [&](const std::string& name, std::string_view text) {
    StagedFile& file = staged_.emplace_back(path_of(name));
    file.write_at(0, text);
    file.close();
  };
  for (const fs::path& path : copies_) {
    RandomFile file(path.string());
    std::string text(static_cast<size_t>(file.size()), '\0');
    file.read_at(0, file.size(), text.data(), "its text");
    add_file(path.filename().string(), text);
  }
  add_file(kNativeHeaderFile, native_header_text(plan_.header));
  for (size_t i = 0; i + 1 < staged_.size(); ++i) staged_[i].publish();
  const std::string header = path_of(kNativeHeaderFile);
  sync_folder_of(header);
  staged_.back().publish();
  sync_folder_of(header);
}

void Converter::log_end(double seconds) {
  const PackingTimes mine = writer_->times();
  ByteWriter bytes;
  bytes.put(mine);
  PackingTimes all;
  for (const std::string& rank : control_.gather(bytes.bytes(), 0, {.phase = "times"})) {
    const auto times = ByteReader(rank).get<PackingTimes>();
    all.read += times.read;
    all.pack += times.pack;
    all.write += times.write;
  }
  if (!is_root()) return;
  log_info("wrote ", format_byte_size(plan_.bytes()), " in ", format_fixed(seconds, 2), " s (",
           format_fixed(static_cast<double>(plan_.bytes()) / seconds / 1e9, 2),
           " GB/s); all threads together read ", format_fixed(all.read, 2), " s, packed ",
           format_fixed(all.pack, 2), " s and wrote ", format_fixed(all.write, 2), " s");
}

void Converter::run() {
  const double begin = steady_seconds();
  make_plan();
  check_memory();
  std::vector<std::string> names = plan_.file_names();
  names.emplace_back(kNativeHeaderFile);
  const std::unique_ptr<OutputFolder> folder = take_output_folder(
      options_.output,
      {plan_.bytes(), std::move(names), "fewer bits by --expert-dtype and --attention-dtype"},
      control_);
  control_.agree([&] { check_copies(); }, {.phase = "output folder"});
  writer_.emplace(checkpoint_, plan_, *backend_, control_.rank(), control_.size());
  write_files();
  control_.agree([&] { finish_folder(); }, kWriteLabel);
  if (is_root()) {
    progress_.finish({.bytes_done = plan_.bytes(), .total_bytes = plan_.bytes()});
  }
  log_end(steady_seconds() - begin);
}

}  // namespace

void run_convert(const ConvertOptions& options, ControlChannel& control, ProgressSink& progress) {
  Converter(options, control, progress).run();
}

}  // namespace switchyard
