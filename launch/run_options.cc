#include "launch/run_options.h"

#include <limits>

#include "kernels/quantization.h"
#include "launch/option_values.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxThreads = 4096;                  // far above any machine
constexpr int64_t kMaxSlots = int64_t{1} << 32;        // above any model
constexpr int64_t kMaxBatchTokens = int64_t{1} << 30;  // above any memory
constexpr int64_t kMaxBatchSize = int64_t{1} << 20;    // above any memory
constexpr int64_t kSmallestExchangeBuffer = 1;         // the model sets the true limit

/// Refuses what has no meaning without a capacity, and batches that are padded to less than
/// themselves.
void check_capacity(const OptionTable& table, const CapacityOptions& capacity) {
  if (capacity.mode == Capacity::kNone) {
    for (const char* name : {"capacity-fraction", "batch-size", "pad-batch-to"}) {
      const Assignment* given = table.find_given(name);
      if (given == nullptr) continue;
      fail_usage(describe_option(*given), " has no effect without --capacity reference, which it ",
                 "belongs to; add that or leave this out");
    }
    return;
  }
  if (capacity.pad_batch_to != 0 && capacity.pad_batch_to < capacity.batch_size) {
    fail_usage(describe_option(*table.find_given("pad-batch-to")),
               " is less than the batch of --batch-size ", capacity.batch_size, "; give at least ",
               capacity.batch_size, ", or 0 for no padding");
  }
}

/// Refuses what contradicts itself.
void check_tiers(const OptionTable& table, const TierOptions& o) {
  const Assignment* slots = table.find_given("expert-slots");
  if (slots != nullptr && table.find_given("expert-budget") != nullptr) {
    fail_usage(describe_option(*slots), " and --expert-budget both say how many experts are kept; ",
               "leave one out");
  }
  const Assignment* hot = table.find_given("hot-experts");
  if (hot != nullptr && o.policy != CachePolicy::kStatic) {
    fail_usage(describe_option(*hot), " has no effect without --cache-policy static, which it ",
               "belongs to; add that or leave this out");
  }
  if (hot == nullptr && o.policy == CachePolicy::kStatic) {
    fail_usage("--cache-policy static needs --hot-experts FILE, what --stats FILE wrote in an ",
               "earlier run");
  }
}

/// A file that is written beside the results.
Setter store_report(std::string& target) {
  return [&target](const std::string& text) {
    if (text == "-") throw BadValue("a file: standard output is for results");
    target = parse_path(text, "a file");
  };
}

constexpr char kNumbers[] = "Numbers";

/// What --expert-dtype and --attention-dtype take.
Setter store_quantization(GroupQuantization& target) {
  return [&target](const std::string& text) {
    try {
      target = text == "stored" ? GroupQuantization() : parse_quantization(text);
    } catch (const BadValue& error) {
      throw BadValue(concat("stored, ", error.what()));
    }
  };
}

std::vector<OptionSpec> arithmetic_options(RunOptions& o) {
  return {numerics_option(o.numerics),
          {.name = "attention-form",
           .value_name = "FORM",
           .default_text = o.attention_form == AttentionForm::kExpanded ? "expanded" : "absorbed",
           .help = "how latent attention (DeepSeek-V2, V3, Kimi-K2) is computed: expanded, with "
                   "each head's keys and values, or absorbed, on the latent itself; other models "
                   "have one form",
           .set = store_choice(o.attention_form, {{"expanded", AttentionForm::kExpanded},
                                                  {"absorbed", AttentionForm::kAbsorbed}})}};
}

std::vector<OptionSpec> number_options(RunOptions& o) {
  std::vector<OptionSpec> options = arithmetic_options(o);
  for (OptionSpec& option : quantization_options(o.quantization)) options.push_back(option);
  return options;
}

std::vector<OptionSpec> capacity_options(CapacityOptions& capacity) {
  const auto set_fraction = [&capacity](const std::string& text) {
    capacity.fraction = parse_finite(text);
  };
  return {{.name = "capacity",
           .value_name = "none|reference",
           .default_text = "none",
           .help = "rows an expert takes from a batch: all that are routed to it, or as fairseq's "
                   "gates at evaluation, which drop what exceeds the expert's capacity",
           .set = store_choice(capacity.mode,
                               {{"none", Capacity::kNone}, {"reference", Capacity::kReference}})},
          {.name = "capacity-fraction",
           .value_name = "F",
           .default_text = "the checkpoint's own",
           .help = "capacity of each expert as a part of the batch's positions; 0 or less: by the "
                   "number of experts",
           .set = set_fraction},
          {.name = "batch-size",
           .value_name = "B",
           .default_text = "1",
           .help = "consecutive sequences of the input that share the experts' capacity",
           .set = store_whole_number(capacity.batch_size, 1, kMaxBatchSize)},
          {.name = "pad-batch-to",
           .value_name = "N",
           .default_text = "0",
           .help = "sequences that a batch's capacity counts at least; 0: those it has",
           .set = store_whole_number(capacity.pad_batch_to, 0, kMaxBatchSize)}};
}

}  // namespace

std::vector<OptionSpec> quantization_options(WeightQuantization& quantization) {
  return {{.name = "expert-dtype",
           .value_name = "TYPE",
           .default_text = "stored",
           .help = "how the experts' matrices are kept: as stored, or quantised to int8, int4, "
                   "int3 or int2; int4:g32 sets the inputs that share a scale (int8: 128, int4 and "
                   "int3: 64, int2: 16)",
           .set = store_quantization(quantization.experts)},
          {.name = "attention-dtype",
           .value_name = "TYPE",
           .default_text = "stored",
           .help = "the same of attention's matrices",
           .set = store_quantization(quantization.attention)}};
}

OptionSpec model_option(std::string& model) {
  return {.name = "model",
          .value_name = "DIR",
          .help = "directory of the checkpoint",
          .set = store_path(model, "a directory"),
          .need = OptionNeed::kRequired};
}

OptionSpec numerics_option(std::string& numerics) {
  return {
      .name = "numerics",
      .value_name = "CLASS",
      .default_text = "auto",
      .help =
          "arithmetic class: auto, the one of the checkpoint's type where the ranks' "
          "devices have it; cpu-fp32, which all have; bf16 or fp16, a GPU's tensor cores; fast, "
          "bf16-fast or fp16-fast, these by cuBLAS, whose bits vary with the batch",
      .set = store_choice(numerics, {{"auto", "auto"},
                                     {"cpu-fp32", "cpu-fp32"},
                                     {"bf16", "bf16"},
                                     {"fp16", "fp16"},
                                     {"fast", "fast"},
                                     {"bf16-fast", "bf16-fast"},
                                     {"fp16-fast", "fp16-fast"}})};
}

OptionSpec threads_option(int& num_threads) {
  const auto set_threads = [&num_threads](const std::string& text) {
    num_threads = text == "auto" ? 0 : static_cast<int>(parse_whole_number(text, 0, kMaxThreads));
  };
  return {.name = "threads",
          .value_name = "N",
          .default_text = "auto",
          .help = "threads of each rank; auto: its cores, shared by the ranks that may use them",
          .set = set_threads,
          .scope = OptionScope::kRank};
}

OptionSpec log_level_option(LogLevel& level) {
  return {.name = "log-level",
          .value_name = "LEVEL",
          .default_text = "info",
          .help = "error, warning, info or debug; progress is shown from info on",
          .set = store_choice(level, {{"error", LogLevel::kError},
                                      {"warning", LogLevel::kWarning},
                                      {"info", LogLevel::kInfo},
                                      {"debug", LogLevel::kDebug}}),
          .scope = OptionScope::kRank};
}

OptionSpec progress_option(ProgressForm& form) {
  return {
      .name = "progress",
      .value_name = "FORM",
      .default_text = "auto",
      .help =
          "bar, lines or none; auto: a bar on a terminal (mpirun hides it: say bar), else lines",
      .set = store_choice(form, {{"auto", ProgressForm::kAuto},
                                 {"bar", ProgressForm::kBar},
                                 {"lines", ProgressForm::kLines},
                                 {"none", ProgressForm::kNone}}),
      .scope = OptionScope::kRank};
}

OptionSpec json_option(ResultForm& form) {
  return {.name = "json",
          .default_text = "false",
          .help = "the result as one JSON object instead of a table",
          .set = store_choice(form, {{"true", ResultForm::kJson}, {"false", ResultForm::kTable}})};
}

OptionGroup tokenizer_options(TokenizerOptions& o) {
  return {
      "Tokenizer",
      {{.name = "tokenizer",
        .value_name = "DIR",
        .default_text = "the model's directory",
        .help = "directory with the tokenizer's files",
        .set = store_path(o.directory, "a directory")},
       {.name = "dict",
        .value_name = "FILE",
        .default_text = "dict.txt in the model's directory",
        .help = "dictionary of a fairseq model",
        .set = store_path(o.dictionary, "a file")},
       {.name = "special-tokens",
        .value_name = "add|none",
        .default_text = "add",
        .help = "what the tokenizer's post-processor adds to a text; fairseq's adds nothing",
        .set = store_choice(o.special_tokens,
                            {{"add", SpecialTokens::kAdd}, {"none", SpecialTokens::kNone}})},
       {.name = "newlines",
        .value_name = "eos|keep",
        .default_text = "keep",
        .help = "line ends of a text become </s>, or are encoded like any character",
        .set = store_choice(o.newlines, {{"eos", Newlines::kEos}, {"keep", Newlines::kKeep}})}}};
}

OptionGroup numerics_options(RunOptions& o) {
  OptionGroup group = {kNumbers, number_options(o),
                       [&o](const OptionTable& table) { check_capacity(table, o.capacity); }};
  for (OptionSpec& option : capacity_options(o.capacity)) group.options.push_back(option);
  return group;
}

OptionGroup generation_numerics_options(RunOptions& o) {
  const auto set_capacity = [](const std::string& text) {
    if (text != "none") throw BadValue("none: a capacity depends on a batch of whole sequences");
  };
  OptionGroup group = {kNumbers, number_options(o)};
  group.options.push_back({.name = "capacity",
                           .value_name = "none",
                           .default_text = "none",
                           .help = "an expert takes every row that is routed to it",
                           .set = set_capacity});
  return group;
}

std::vector<OptionSpec> exchange_options(ExchangeRequest& o) {
  const auto set_ranks_per_node = [&o](const std::string& text) {
    o.ranks_per_node.reset();
    if (text == "auto") return;
    o.ranks_per_node =
        static_cast<int>(parse_whole_number(text, 1, std::numeric_limits<int>::max()));
  };
  return {
      {.name = "exchange",
       .value_name = "auto|direct|two-level",
       .default_text = "auto",
       .help = "how rows travel: straight to their experts' ranks, or each token once to a node "
               "and on inside it; auto: two-level where several nodes have several ranks",
       .set = store_choice(o.kind, {{"auto", ExchangeKind::kAuto},
                                    {"direct", ExchangeKind::kDirect},
                                    {"two-level", ExchangeKind::kTwoLevel}})},
      {.name = "exchange-layout",
       .value_name = "auto|exact|padded",
       .default_text = "auto",
       .help = "who counts the rows of a step: the host, which waits for them, or the device, "
               "which sends a fixed number; auto: padded on GPUs whose steps are small and whose "
               "experts are resident",
       .set = store_choice(o.layout, {{"auto", ExchangeLayout::kAuto},
                                      {"exact", ExchangeLayout::kExact},
                                      {"padded", ExchangeLayout::kPadded}})},
      {.name = "ranks-per-node",
       .value_name = "N",
       .default_text = "auto",
       .help = "take so many consecutive ranks as a node in the exchange; auto: the machines they "
               "run on",
       .set = set_ranks_per_node}};
}

OptionSpec decode_graphs_option(DecodeGraphs& graphs) {
  return {.name = "decode-graphs",
          .value_name = "auto|on|off",
          .default_text = "auto",
          .help =
              "steps that run one row of each sequence are recorded once and launched again "
              "for every token, where experts are resident and --exchange-layout is padded; "
              "auto: on GPUs",
          .set = store_choice(graphs, {{"auto", DecodeGraphs::kAuto},
                                       {"on", DecodeGraphs::kOn},
                                       {"off", DecodeGraphs::kOff}})};
}

OptionGroup execution_options(RunOptions& o) {
  const auto set_batch_tokens = [&o](const std::string& text) {
    o.max_batch_tokens.reset();
    if (text != "auto") o.max_batch_tokens = parse_whole_number(text, 1, kMaxBatchTokens);
  };
  const auto set_exchange_buffer = [&o](const std::string& text) {
    o.exchange_buffer_bytes = parse_bytes(text, kSmallestExchangeBuffer);
  };
  OptionGroup group = {
      "Execution (no result depends on these)",
      {threads_option(o.num_threads),
       {.name = "max-batch-tokens",
        .value_name = "N",
        .default_text = "auto",
        .help = "rows of one rank in one step; a longer sequence or batch runs alone; auto: 4096, "
                "and where scoring pages experts as many as compute while they load",
        .set = set_batch_tokens},
       {.name = "exchange-buffer",
        .value_name = "BYTES",
        .default_text = "64MiB",
        .help = "send and receive buffers of each rank; those of the experts that compute on these "
                "rows come on top; a smaller one takes more rounds",
        .set = set_exchange_buffer},
       {.name = "placement",
        .value_name = "FILE",
        .default_text = "contiguous",
        .help = "which rank holds which expert",
        .set = store_path(o.placement, "a file")},
       {.name = "load-readers-per-node",
        .value_name = "N",
        .default_text = "0",
        .help = "ranks of a node that read the checkpoint at a time; 0: all, less for slow disks",
        .set = store_whole_number(o.load_readers_per_node, 0, kMaxThreads)},
       {.name = "instruction-set",
        .value_name = "SET",
        .default_text = "auto",
        .help = "auto, avx512, avx2 or portable",
        .set = store_choice(o.instruction_set, {{"auto", InstructionSet::kAuto},
                                                {"avx512", InstructionSet::kAvx512},
                                                {"avx2", InstructionSet::kAvx2},
                                                {"portable", InstructionSet::kPortable}}),
        .scope = OptionScope::kRank}}};
  for (OptionSpec& option : exchange_options(o.exchange)) {
    group.options.push_back(std::move(option));
  }
  return group;
}

OptionGroup tier_options(TierOptions& o) {
  const auto set_budget = [&o](const std::string& text) { o.expert_budget = parse_bytes(text, 1); };
  const auto set_slots = [&o](const std::string& text) {
    o.expert_slots = parse_whole_number(text, 1, kMaxSlots);
  };
  const auto set_host = [&o](const std::string& text) { o.host_budget = parse_bytes(text, 0); };
  const auto set_ahead = [&o](const std::string& text) {
    o.prefetch_budget = parse_bytes(text, 0);
  };
  return {
      "Memory tiers (no result depends on these)",
      {{.name = "expert-budget",
        .value_name = "BYTES",
        .default_text = "what is free",
        .help = "experts of a rank that are kept ready to compute with; the others come from files "
                "when they are needed",
        .set = set_budget},
       {.name = "expert-slots",
        .value_name = "N",
        .default_text = "by --expert-budget",
        .help = "the same as a number of experts, of all layers together",
        .set = set_slots},
       {.name = "host-budget",
        .value_name = "BYTES",
        .default_text = "0",
        .help = "copies of a rank's experts in host memory, between its slots and the files",
        .set = set_host},
       {.name = "cache-policy",
        .value_name = "lru|lfu|static",
        .default_text = "lru",
        .help = "who is given up for another: the expert used longest ago, least often, or least "
                "in the run of --hot-experts",
        .set = store_choice(o.policy, {{"lru", CachePolicy::kLru},
                                       {"lfu", CachePolicy::kLfu},
                                       {"static", CachePolicy::kStatic}})},
       {.name = "cache-scope",
        .value_name = "global|layer",
        .default_text = "global",
        .help = "all layers share all slots, or each has its own",
        .set = store_choice(o.scope,
                            {{"global", CacheScope::kGlobal}, {"layer", CacheScope::kLayer}})},
       {.name = "hot-experts",
        .value_name = "FILE.json",
        .default_text = "none",
        .help = "--stats file of an earlier run with this model, for --cache-policy static",
        .set = store_path(o.hot_experts, "a file")},
       {.name = "prefetch",
        .value_name = "auto|on|off",
        .default_text = "auto",
        .help = "loading of the next layer's experts ahead of their need: with its gate's "
                "prediction where few tokens run; auto stops while that does not pay",
        .set = store_choice(
            o.prefetch,
            {{"auto", Prefetch::kAuto}, {"on", Prefetch::kOn}, {"off", Prefetch::kOff}})},
       {.name = "prefetch-budget",
        .value_name = "BYTES",
        .default_text = "a quarter of the slots",
        .help = "experts that were predicted and not used yet, at most",
        .set = set_ahead},
       {.name = "load-threads",
        .value_name = "N",
        .default_text = "2",
        .help = "threads of each rank that read experts while others compute",
        .set = store_whole_number(o.load_threads, 1, kMaxThreads)}},
      [&o](const OptionTable& table) { check_tiers(table, o); }};
}

OptionGroup operation_options(RunOptions& o) {
  const auto set_timeout = [&o](const std::string& text) {
    o.exchange_timeout_seconds = parse_seconds(text);
  };
  const auto set_seed = [&o](const std::string& text) { o.strict_seed = parse_seed(text); };
  return {"Operation",
          {log_level_option(o.log_level),
           progress_option(o.progress),
           {.name = "stats",
            .value_name = "FILE.json",
            .help = "writes what every rank and expert did; for 'switchyard report' and "
                    "--hot-experts",
            .set = store_report(o.stats_file)},
           {.name = "trace",
            .value_name = "FILE.json",
            .help = "writes what happened when on every rank; for 'switchyard report', "
                    "chrome://tracing and Perfetto",
            .set = store_report(o.trace_file)},
           {.name = "exchange-timeout",
            .value_name = "SECONDS",
            .default_text = "1800",
            .help = "ends the job when one exchange takes longer; 0: never",
            .set = set_timeout},
           {.name = "backend",
            .value_name = "KIND",
            .default_text = "auto",
            .help = "auto, cpu, cuda, or strict: the cpu behind a device-like schedule, for tests",
            .set = store_choice(o.backend, {{"auto", BackendKind::kAuto},
                                            {"cpu", BackendKind::kCpu},
                                            {"cuda", BackendKind::kCuda},
                                            {"strict", BackendKind::kStrict}})},
           {.name = "strict-seed",
            .value_name = "N",
            .default_text = "1",
            .help = "seed of the strict backend's delays",
            .set = set_seed}}};
}

}  // namespace switchyard
