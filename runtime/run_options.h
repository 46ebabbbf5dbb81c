// What every command that runs a model is asked to do: plain data, filled by the command line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/log.h"
#include "parallel/communicator.h"
#include "parallel/device_placement.h"
#include "parallel/exchange_choice.h"
#include "runtime/eviction_policy.h"
#include "runtime/model_config.h"
#include "runtime/progress.h"
#include "runtime/tokenizer/open_tokenizer.h"

namespace switchyard {

/// How many rows an expert takes from a batch.
enum class Capacity : uint8_t {
  kNone,       ///< every row that is routed to it
  kReference,  ///< as fairseq's gates at evaluation: a row beyond the capacity is dropped
};

/// Expert capacity as a run asks for it; the batches it works on are a part of the results.
struct CapacityOptions {
  Capacity mode = Capacity::kNone;
  std::optional<double> fraction;  // none: the checkpoint's own
  int64_t batch_size = 1;          // consecutive sequences that compete for the experts' slots
  int64_t pad_batch_to = 0;        // sequences of zeros are counted up to so many; 0: none
};

/// Whether the next layer's experts are predicted and loaded ahead.
enum class Prefetch : uint8_t {
  kOff,
  kOn,
  kAuto,  ///< on, and off by itself while it does not pay
};

/// Where experts are kept. No result depends on it.
struct TierOptions {
  /// Bytes of each rank's slots; none: --expert-slots, or what is free.
  std::optional<int64_t> expert_budget;
  std::optional<int64_t> expert_slots;  // of each rank
  int64_t host_budget = 0;              // bytes of each rank's host tier
  CachePolicy policy = CachePolicy::kLru;
  CacheScope scope = CacheScope::kGlobal;
  std::string hot_experts;  // --stats file of an earlier run, for CachePolicy::kStatic
  Prefetch prefetch = Prefetch::kAuto;
  std::optional<int64_t> prefetch_budget;  // bytes of slots; none: a quarter of them
  int64_t load_threads = 2;                // of each rank
};

/// The options that `score` and `perplexity` share. Equal on all ranks, except num_threads,
/// instruction_set, device.device, log_level and progress.
/// Whether decode steps are recorded once and launched again, see StepGraphs.
enum class DecodeGraphs : uint8_t {
  kAuto,  ///< on GPUs
  kOn,    ///< on every backend; steps that cannot be run as ever
  kOff,
};

struct RunOptions {
  std::string model;  // directory of the checkpoint
  TokenizerOptions tokenizer;

  std::string numerics = "auto";                            // or an arithmetic class, as "cpu-fp32"
  AttentionForm attention_form = AttentionForm::kExpanded;  // of latent attention
  CapacityOptions capacity;

  int num_threads = 0;  // of this rank, the calling one included; 0: chosen by us
  std::optional<int64_t> max_batch_tokens;  // rows of one rank in one step; none: chosen by us
  int64_t exchange_buffer_bytes = int64_t{64} << 20;  // of each rank
  ExchangeRequest exchange;
  DecodeGraphs graphs = DecodeGraphs::kAuto;
  TierOptions tiers;
  WeightQuantization quantization;    // where off: as the checkpoint keeps them
  std::string stats_file;             // where rank 0 writes what the caches did; empty: nowhere
  std::string trace_file;             // where rank 0 writes what happened when; empty: nowhere
  std::string placement;              // expert placement file; empty: contiguous
  int64_t load_readers_per_node = 0;  // ranks of a node that read files at a time; 0: all
  InstructionSet instruction_set = InstructionSet::kAuto;

  LogLevel log_level = LogLevel::kInfo;
  ProgressForm progress = ProgressForm::kAuto;
  double exchange_timeout_seconds = 1800.0;  // deadline of one collective; 0: none
  BackendKind backend = BackendKind::kAuto;
  DeviceRequest device;  // which GPU
  Transport transport = Transport::kAuto;
  uint64_t strict_seed = 1;  // of the strict backend's delays

  std::string version;  // of this program, for OUT.meta.json
  std::string command;  // that runs, for the file of --stats
  /// Name and value of every option, given or default, in the order of --help, for OUT.meta.json.
  std::vector<std::pair<std::string, std::string>> listing;
};

}  // namespace switchyard
