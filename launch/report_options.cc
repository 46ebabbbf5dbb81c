#include "launch/report_options.h"

#include "launch/option_values.h"
#include "launch/run_options.h"

namespace switchyard {
namespace {

/// "BEGIN,END" in seconds.
TimeWindow parse_window(const std::string& text) {
  const size_t comma = text.find(',');
  try {
    if (comma != text.npos) {
      const TimeWindow window = {parse_seconds(text.substr(0, comma)),
                                 parse_seconds(text.substr(comma + 1))};
      if (window.first < window.second) return window;
    }
  } catch (const BadValue&) {
  }
  throw BadValue("two numbers of seconds, the smaller one first, as 0.5,0.75");
}

}  // namespace

OptionTable make_report_option_table(ReportOptions& o) {
  const auto add_file = [&o](const std::string& text) {
    o.files.push_back(parse_path(text, "a file"));
  };
  const auto set_window = [&o](const std::string& text) { o.window = parse_window(text); };
  const OptionGroup page = {
      "Page",
      {{.name = "output",
        .value_name = "PAGE.html",
        .default_text = "report.html",
        .help = "the page; - writes standard output",
        .set = store_path(o.output, "a file or -")},
       {.name = "window",
        .value_name = "BEGIN,END",
        .default_text = "around the middle",
        .help = "seconds since the first step between which a trace is drawn event by event",
        .set = set_window}}};
  OptionTable table("report", "a page of pictures about runs, from their --stats and --trace files",
                    {page, {"Operation", {log_level_option(o.log_level)}}});
  table.take_operands({.name = "file",
                       .value_name = "FILE.json...",
                       .help = "what --stats and --trace wrote, of one run or of several",
                       .set = add_file,
                       .need = OptionNeed::kRequired});
  return table;
}

}  // namespace switchyard
