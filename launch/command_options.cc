#include "launch/command_options.h"

#include <cstdio>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr CollectiveLabel kOptionsLabel{.phase = "options"};

/// The configuration file's text on every rank: rank 0 reads it.
std::string share_config_file(const std::string& path, Job& job) {
  std::string text;
  const auto read = [&] {
    if (job.is_root()) text = read_config_file(path);
  };
  job.control.agree(read, kOptionsLabel);
  return job.control.broadcast(text, 0, kOptionsLabel);
}

/// Ends the job unless every rank runs the same version with the same options.
void require_equal_options(const OptionTable& table, Job& job) {
  const std::string mine = concat("version ", SWITCHYARD_VERSION, "\n", table.shared_text());
  const std::string root = job.control.broadcast(mine, 0, kOptionsLabel);
  const auto compare = [&] {
    if (mine == root) return;
    fail_usage("was started with ", differing_lines(mine, root), " as rank 0; start every rank ",
               "with the same program and the same options");
  };
  job.control.agree(compare, kOptionsLabel);
}

/// Reads the configuration file and fills the options. Throws AgreedError.
void fill_options(const ParsedArguments& parsed, OptionTable& table, Job& job) {
  // The path too must be agreed on: it decides whether there is a file to broadcast.
  const std::string path = job.control.broadcast(parsed.config_path, 0, kOptionsLabel);
  const std::string config = path.empty() ? "" : share_config_file(path, job);
  const auto apply = [&] {
    if (parsed.config_path != path) {
      fail_usage("was started with --config '", parsed.config_path, "', rank 0 with '", path,
                 "'; start every rank with the same options");
    }
    table.apply(table.parse_config(config, path), parsed.assignments);
  };
  job.control.agree(apply, kOptionsLabel);
  require_equal_options(table, job);
}

/// Whether the ranks were started with `option`; they must agree.
bool agree_on(bool is_given, const char* option, Job& job) {
  const bool is_given_somewhere = job.control.all_max(is_given ? 1 : 0, kOptionsLabel) > 0;
  const auto compare = [&] {
    if (is_given == is_given_somewhere) return;
    fail_usage("was started without ", option, ", another rank with it; start every rank with the ",
               "same options");
  };
  job.control.agree(compare, kOptionsLabel);
  return is_given;
}

}  // namespace

NextStep read_command_options(const std::vector<std::string>& arguments, OptionTable& table,
                              Job& job) {
  ParsedArguments parsed;
  job.control.agree([&] { parsed = table.parse_arguments(arguments); }, kOptionsLabel);
  if (agree_on(parsed.wants_help, "--help", job)) {
    if (job.is_root()) std::fputs(table.help_text().c_str(), stdout);
    return NextStep::kDone;
  }
  if (agree_on(parsed.wants_version, "--version", job)) {
    run_version_command({}, job);
    return NextStep::kDone;
  }
  fill_options(parsed, table, job);
  return NextStep::kRun;
}

}  // namespace switchyard
