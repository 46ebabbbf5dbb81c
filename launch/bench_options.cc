#include "launch/bench_options.h"

#include <algorithm>

#include "launch/option_values.h"
#include "launch/run_options.h"

namespace switchyard {
namespace {

constexpr int64_t kMost = 1 << 20;  // rows, tokens, repeats

void add_name(BenchOptions& o, const std::string& text) {
  const std::vector<std::string>& names = bench_names();
  if (text != "all" && std::find(names.begin(), names.end(), text) == names.end()) {
    throw BadValue("limits, experts, attention, all-to-all, model or all");
  }
  o.names.push_back(text);
}

Setter store_numbers(std::vector<int64_t>& target) {
  return [&target](const std::string& text) {
    target.clear();
    for (size_t begin = 0; begin <= text.size();) {
      const size_t end = std::min(text.find(',', begin), text.size());
      target.push_back(parse_whole_number(text.substr(begin, end - begin), 1, kMost));
      begin = end + 1;
    }
  };
}

}  // namespace

OptionTable make_bench_option_table(BenchOptions& o) {
  const OptionGroup work = {
      "Work",
      {{.name = "preset",
        .value_name = "NAME|FILE",
        .default_text = o.preset,
        .help = "whose shapes are measured: a built-in model or a YAML file",
        .set = store_path(o.preset, "a preset's name or a file")},
       {.name = "model",
        .value_name = "DIR",
        .help = "a checkpoint to measure instead of a preset",
        .set = store_path(o.run.model, "a checkpoint's directory")},
       {.name = "layers",
        .value_name = "N",
        .default_text = "2",
        .help = "layers of the preset, whose weights are computed; all: as many as it has",
        .set =
            [&o](const std::string& text) {
              o.layers.reset();
              if (text != "all") o.layers = parse_whole_number(text, 1, kMost);
            }},
       {.name = "rows",
        .value_name = "N,N,...",
        .default_text = "1,4,16,64,256",
        .help = "experts: rows of each expert",
        .set = store_numbers(o.rows)},
       {.name = "weight-bytes",
        .value_name = "BYTES",
        .help = "experts, attention: at least so many of weights, or of keys and values, so that "
                "caches do not serve; default: 256MiB, or twice the processors' cache",
        .set = [&o](const std::string& text) { o.weight_bytes = parse_bytes(text, 1); }},
       {.name = "contexts",
        .value_name = "N,N,...",
        .default_text = "512,2048",
        .help = "attention: positions of each sequence",
        .set = store_numbers(o.contexts)},
       {.name = "batches",
        .value_name = "N,N,...",
        .default_text = "1,8,32",
        .help = "attention, model: sequences that are generated together",
        .set = store_numbers(o.batches)},
       {.name = "length",
        .value_name = "N",
        .default_text = "512",
        .help = "model: tokens of a sequence that is scored, and of a prompt",
        .set = store_whole_number(o.length, 1, kMost)},
       {.name = "new-tokens",
        .value_name = "N",
        .default_text = "16",
        .help = "model: tokens that are generated",
        .set = store_whole_number(o.new_tokens, 3, kMost)},
       {.name = "tokens",
        .value_name = "N",
        .default_text = "4096",
        .help = "all-to-all, model: rows of each rank",
        .set = store_whole_number(o.tokens, 1, kMost)},
       {.name = "skew",
        .value_name = "S",
        .default_text = "0",
        .help = "experts, all-to-all: Zipf's exponent of the experts' choice; 0: all alike",
        .set = [&o](const std::string& text) { o.skew = parse_seconds(text); }},
       {.name = "limit-bytes",
        .value_name = "BYTES",
        .help = "limits: of each buffer and file that is moved; default: 128MiB, and of memory as "
                "much as caches do not hold",
        .set = [&o](const std::string& text) { o.limit_bytes = parse_bytes(text, 1 << 20); }},
       {.name = "limit-extent",
        .value_name = "N",
        .default_text = "0",
        .help = "limits: rows and columns of the matrices that are multiplied; 0: as serves",
        .set = store_whole_number(o.limit_extent, 0, 32768)},
       {.name = "directory",
        .value_name = "DIR",
        .help = "limits: where a file is written, read and removed; default: for temporary files",
        .set = store_path(o.directory, "a directory")},
       {.name = "output",
        .value_name = "FILE",
        .help = "a file that gets the rows as JSON",
        .set = store_path(o.output, "a file")},
       {.name = "repeats",
        .value_name = "N",
        .default_text = "5",
        .help = "runs of each measurement, of which the median counts",
        .set = store_whole_number(o.repeats, 1, kMost)},
       json_option(o.form)}};
  o.layers = 2;
  OptionGroup numbers = {"Numbers", quantization_options(o.run.quantization)};
  numbers.options.push_back(numerics_option(o.run.numerics));
  OptionGroup execution = {"Execution of models", exchange_options(o.run.exchange)};
  execution.options.push_back(decode_graphs_option(o.run.graphs));
  OptionTable table("bench", "speed of this machine beside its limits, every result checked",
                    {work,
                     numbers,
                     execution,
                     tier_options(o.run.tiers),
                     operation_options(o.run),
                     {"Threads", {threads_option(o.run.num_threads)}}});
  table.take_operands({.name = "what",
                       .value_name = "limits|experts|attention|all-to-all|model|all...",
                       .help = "what is measured; the limits always are",
                       .set = [&o](const std::string& text) { add_name(o, text); },
                       .need = OptionNeed::kRequired});
  return table;
}

}  // namespace switchyard
