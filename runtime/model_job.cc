#include "runtime/model_job.h"

#include <filesystem>
#include <limits>
#include <utility>

#include "kernels/base/byte_codec.h"
#include "kernels/base/log.h"
#include "kernels/quantization.h"
#include "parallel/topology.h"
#include "runtime/batch_choice.h"
#include "runtime/checkpoint/native_header.h"
#include "runtime/native_check.h"
#include "runtime/run_stats.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

/// Shares rank 0's summary: it decides the size of everyone's buffers.
RequestSummary share(const RequestSummary& summary, ControlChannel& control) {
  const auto from_root = [&](int64_t value) {
    constexpr int64_t kElsewhere = std::numeric_limits<int64_t>::min();
    return control.all_max(control.rank() == 0 ? value : kElsewhere, {.phase = "requests"});
  };
  const auto list_from_root = [&](std::vector<int64_t> list) {
    list.resize(static_cast<size_t>(from_root(static_cast<int64_t>(list.size()))));
    for (int64_t& value : list) value = from_root(value);
    return list;
  };
  return {from_root(summary.num_requests),      from_root(summary.total_rows),
          from_root(summary.largest_unit_rows), from_root(summary.largest_unit_pages),
          list_from_root(summary.cache_pages),  list_from_root(summary.sequence_cache_pages)};
}

/// Rank 0's uses of experts on every rank.
std::vector<std::vector<int64_t>> share_uses(const std::vector<std::vector<int64_t>>& uses,
                                             ControlChannel& control) {
  ByteWriter writer;
  for (const std::vector<int64_t>& layer : uses) writer.put_vector(layer);
  const std::string bytes = control.broadcast(writer.bytes(), 0, {.phase = "hot experts"});
  ByteReader reader(bytes);
  std::vector<std::vector<int64_t>> shared;
  while (!reader.at_end()) shared.push_back(reader.get_vector<int64_t>());
  return shared;
}

/// The checkpoint as this run computes with it.
Checkpoint open_for(const RunOptions& options, ControlChannel& control) {
  Checkpoint checkpoint = open_checkpoint(options.model, control);
  control.agree(
      [&] {
        const bool keeps_experts = !checkpoint.config.quantization.experts.is_on();
        if (checkpoint.native && keeps_experts && options.quantization.experts.is_on()) {
          fail_usage("--expert-dtype asks for ", name_of(options.quantization.experts), ", but ",
                     options.model,
                     " was converted with its experts as they were: leave the option ",
                     "out, or convert the original with it");
        }
        quantize_as_asked(options.quantization, options.model, checkpoint.config);
        const bool is_fairseq = checkpoint.config.family == kFairseqFamily;
        if (options.capacity.mode == Capacity::kNone || is_fairseq) return;
        fail_usage("--capacity reference is for fairseq's models; the experts of ", options.model,
                   " (", checkpoint.config.family, ") refuse no row: leave it out");
      },
      {.phase = "check of the options"});
  checkpoint.config.attention_form = options.attention_form;
  return checkpoint;
}

}  // namespace

ModelJob::ModelJob(const RunOptions& options, Backend& backend, Communicator& world)
    : options_(options),
      backend_(backend),
      world_(world),
      control_(backend, world),
      checkpoint_(open_for(options, control_)),
      numerics_(agree_on_numerics(options.numerics, backend, checkpoint_, control_)),
      reports_(options) {
  control_.agree([&] { check_native(checkpoint_, backend); }, {.phase = "check of the packing"});
  if (!is_root()) return;
  log_start();
  log_capacity();
}

std::optional<CapacityShape> ModelJob::capacity() const {
  const CapacityOptions& capacity = options_.capacity;
  if (capacity.mode == Capacity::kNone) return std::nullopt;
  CapacityShape shape;
  shape.fraction = capacity.fraction.value_or(config().capacity.eval_fraction);
  shape.batch_size = capacity.batch_size;
  shape.pad_batch_to = capacity.pad_batch_to;
  return shape;
}

std::vector<std::string> ModelJob::files_read(const std::string& input) const {
  std::vector<std::string> files = tokenizer_files(options_.tokenizer, options_.model);
  files.push_back(input);
  files.push_back(options_.placement);
  files.push_back(options_.tiers.hot_experts);
  for (const CheckpointFile& file : checkpoint_.index.files) files.push_back(file.path);
  for (const char* description : {kNativeHeaderFile, "config.json"}) {
    files.push_back((std::filesystem::path(options_.model) / description).string());
  }
  return files;
}

RunMeta ModelJob::meta() const {
  return {options_.version, numerics_.text(), checkpoint_.fingerprint, options_.listing};
}

RuntimeSettings ModelJob::settings(const RequestSummary& summary, int64_t top_logprobs,
                                   PlacementText placement) const {
  RuntimeSettings settings;
  settings.max_batch_tokens = options_.max_batch_tokens.value_or(kDefaultBatchTokens);
  const bool is_scoring = summary.cache_pages.empty();
  settings.batch_tokens =
      options_.max_batch_tokens || !is_scoring ? BatchTokens::kGiven : BatchTokens::kMayGrow;
  settings.largest_unit_rows = summary.largest_unit_rows;
  settings.largest_unit_pages = summary.largest_unit_pages;
  settings.total_rows = summary.total_rows;
  settings.cache_pages = summary.cache_pages;
  settings.sequence_cache_pages = summary.sequence_cache_pages;
  settings.exchange_buffer_bytes = options_.exchange_buffer_bytes;
  settings.exchange = options_.exchange;
  settings.has_graphs = records_steps(options_.graphs, backend_);
  settings.top_logprobs = top_logprobs;
  settings.placement = std::move(placement);
  settings.tiers = options_.tiers;
  settings.load_readers_per_node = options_.load_readers_per_node;
  if (const auto shape = capacity()) settings.capacity_fraction = shape->fraction;
  return settings;
}

RequestSummary ModelJob::load(const JobFiles& files, int64_t top_logprobs, ProgressSink& progress,
                              const std::function<RequestSummary()>& check_input) {
  RequestSummary summary;
  PlacementText placement;
  std::vector<std::vector<int64_t>> hot_uses;
  control_.agree(
      [&] {
        if (!is_root()) return;
        placement = read_placement_file(options_.placement);
        if (!options_.tiers.hot_experts.empty()) {
          hot_uses = read_hot_uses(options_.tiers.hot_experts, config());
        }
        make_placements(placement, config(), control_.size());
        summary = check_input();
        reports_.open(files_read(files.input), files.output);
        // Settings that cannot work are told before the model is loaded.
        workspace_limits(config(), settings(summary, top_logprobs, placement), control_.size());
      },
      // The others wait while rank 0 reads and tokenises the whole input.
      {.phase = "requests", .patience = Patience::kForever});
  summary = share(summary, control_);
  placement = {options_.placement, control_.broadcast(placement.text, 0, {.phase = "placement"})};
  files_ = std::make_unique<CheckpointFiles>(checkpoint_.index);
  RuntimeSettings final_settings = settings(summary, top_logprobs, std::move(placement));
  final_settings.expert_uses = share_uses(hot_uses, control_);
  if (is_root()) final_settings.progress = &progress;
  final_settings.trace = reports_.trace();
  model_ = std::make_unique<ModelRuntime>(checkpoint_, *files_, final_settings, backend_, world_,
                                          control_);
  engine_ = std::make_unique<Engine>(control_, model_->transformer(), model_->clock(),
                                     model_->schedule_limits());
  reports_.start(control_);
  return summary;
}

RankStats ModelJob::stats() const {
  RankStats stats = model_->stats(*engine_);
  stats.host = replace_invalid_utf8(host_name());
  shorten_log(stats.cache, control_.size());
  return stats;
}

RunFacts ModelJob::facts() const {
  RunFacts facts;
  facts.version = options_.version;
  facts.command = options_.command;
  facts.numerics = numerics_.text();
  facts.fingerprint = checkpoint_.fingerprint;
  facts.model = replace_invalid_utf8(options_.model);
  facts.family = config().family;
  facts.steps = engine_->steps();
  set_shape(config(), facts);
  return facts;
}

void ModelJob::finish(const std::function<void()>& publish) {
  const std::vector<RankStats> ranks = gather_stats(stats(), control_);
  control_.agree(
      [&] {
        if (is_root()) publish();
      },
      {.phase = "end of results"});
  if (is_root()) log_info("ranks\n", stats_text(ranks, config().moe_layers()));
  reports_.write({options_.stats_file, facts(), ranks}, control_);
}

void ModelJob::log_start() const {
  for (const std::string& warning : checkpoint_.warnings) log_warning(warning);
  const std::string experts =
      config().num_moe_layers() == 0
          ? "dense"
          : concat(config().num_moe_layers(), " with ", config().router.num_experts, " experts");
  log_info("model: ", config().family, ", ", config().num_layers(), " layers of width ",
           config().hidden_size, ", ", experts, ", vocabulary ", config().vocab_size, ", ",
           config().trained_positions, " positions");
  if (config().num_moe_layers() == 0 && options_.quantization.experts.is_on()) {
    log_warning("--expert-dtype: the model has no experts, so that it changes nothing");
  }
  log_info("numerics: ", numerics_.text(), "; checkpoint ", checkpoint_.fingerprint);
  log_info(world_.size(), " ranks over ", world_.transport(), "; rank 0 on ",
           backend_.description());
}

void ModelJob::log_capacity() const {
  const std::optional<CapacityShape> shape = capacity();
  if (!shape) return;
  if (config().num_moe_layers() == 0) {
    log_warning("--capacity reference: the model has no experts, so that it changes no number");
    return;
  }
  log_info("capacity: reference, fraction ", shape->fraction,
           options_.capacity.fraction ? " of --capacity-fraction" : " of the checkpoint",
           ", batches of ", shape->batch_size, " sequences",
           shape->pad_batch_to > 0 ? concat(" counted as ", shape->pad_batch_to) : "");
}

}  // namespace switchyard
