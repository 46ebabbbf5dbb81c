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
    throw BadValue("limits, experts, all-to-all or all");
  }
  o.names.push_back(text);
}

std::vector<int64_t> parse_rows(const std::string& text) {
  std::vector<int64_t> rows;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    rows.push_back(parse_whole_number(text.substr(begin, end - begin), 1, kMost));
    begin = end + 1;
  }
  return rows;
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
       {.name = "rows",
        .value_name = "N,N,...",
        .default_text = "1,4,16,64,256",
        .help = "experts: rows of each expert",
        .set = [&o](const std::string& text) { o.rows = parse_rows(text); }},
       {.name = "weight-bytes",
        .value_name = "BYTES",
        .default_text = "256MiB",
        .help = "experts: at least so many of weights, so that caches do not serve",
        .set = [&o](const std::string& text) { o.weight_bytes = parse_bytes(text, 1); }},
       {.name = "tokens",
        .value_name = "N",
        .default_text = "4096",
        .help = "all-to-all: of each rank",
        .set = store_whole_number(o.tokens, 1, kMost)},
       {.name = "skew",
        .value_name = "S",
        .default_text = "0",
        .help = "all-to-all: Zipf's exponent of the experts' choice; 0: all alike",
        .set = [&o](const std::string& text) { o.skew = parse_seconds(text); }},
       {.name = "limit-bytes",
        .value_name = "BYTES",
        .default_text = "128MiB",
        .help = "limits: of each buffer that is copied",
        .set = [&o](const std::string& text) { o.limit_bytes = parse_bytes(text, 4096); }},
       {.name = "limit-extent",
        .value_name = "N",
        .default_text = "1024",
        .help = "limits: rows and columns of the matrices that are multiplied",
        .set = store_whole_number(o.limit_extent, 1, 32768)},
       {.name = "repeats",
        .value_name = "N",
        .default_text = "5",
        .help = "runs of each measurement, of which the median counts",
        .set = store_whole_number(o.repeats, 1, kMost)},
       json_option(o.form)}};
  OptionTable table(
      "bench", "speed of experts and exchanges beside copies and matmuls, checked",
      {work, operation_options(o.run), {"Threads", {threads_option(o.run.num_threads)}}});
  table.take_operands({.name = "what",
                       .value_name = "limits|experts|all-to-all|all...",
                       .help = "what is measured; the limits always are",
                       .set = [&o](const std::string& text) { add_name(o, text); },
                       .need = OptionNeed::kRequired});
  return table;
}

}  // namespace switchyard
