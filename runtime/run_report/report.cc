#include "runtime/run_report/report.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "runtime/requests/file_handle.h"
#include "runtime/requests/journal.h"
#include "runtime/requests/run_files.h"
#include "runtime/run_report/report_page.h"

namespace switchyard {
namespace {

/// What a file begins with: '{' of statistics, '[' of a trace.
char first_character(const std::string& path) {
  FileHandle file = FileHandle::open(path, O_RDONLY);
  char character = 0;
  if (!file.is_open() || read(file.descriptor(), &character, 1) < 0) {
    fail_input("cannot read ", path, " (", std::strerror(errno),
               "): expected a file that --stats or --trace wrote");
  }
  return character;
}

void write_page(const ReportOptions& options) {
  std::vector<StatsFile> runs;
  std::vector<TraceFile> traces;
  for (const std::string& path : options.files) {
    const char character = first_character(path);
    if (character == '{') {
      runs.push_back(read_stats_file(path));
    } else if (character == '[') {
      traces.push_back(read_trace_file(path));
    } else {
      fail_input(path, ": is neither statistics nor a trace; expected a file that --stats or ",
                 "--trace wrote");
    }
  }
  require_other_files(options.files, options.output);
  ResultWriter writer(options.output);
  std::string page = format_report_page(runs, traces, options.window);
  page.pop_back();  // the line end, which the writer adds
  writer.append(page);
  writer.finish();
  if (options.output != "-") log_info("page: ", options.output);
}

}  // namespace

void run_report(const ReportOptions& options, ControlChannel& control) {
  control.agree(
      [&] {
        if (control.rank() == 0) write_page(options);
      },
      {.phase = "report", .patience = Patience::kForever});
}

}  // namespace switchyard
