#include <cstdio>
#include <memory>

#include "kernels/base/log.h"
#include "launch/command.h"
#include "launch/progress.h"
#include "launch/score_options.h"
#include "launch/signals.h"
#include "parallel/topology.h"
#include "runtime/score.h"

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
void read_options(const ParsedArguments& parsed, OptionTable& table, Job& job) {
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

/// Tells once, for the whole job, where the launcher wastes cores.
void warn_of_launch(const std::string& warning, Job& job) {
  const std::vector<std::string> warnings = job.control.gather(warning, 0, kOptionsLabel);
  for (size_t rank = 0; rank < warnings.size(); ++rank) {
    if (warnings[rank].empty()) continue;
    log_warning("rank ", rank, ": ", warnings[rank]);
    return;
  }
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

/// The backend this rank computes with.
std::unique_ptr<Backend> make_compute_backend(const ScoreOptions& options, Job& job) {
  const CpuBudget budget = cpu_budget(job.control, discover_topology(job.control));
  warn_of_launch(budget.warning, job);
  BackendOptions backend_options;
  backend_options.kind = options.backend;
  backend_options.instruction_set = options.instruction_set;
  backend_options.num_threads =
      options.num_threads > 0 ? options.num_threads : budget.default_threads;
  backend_options.strict_seed = options.strict_seed;
  std::unique_ptr<Backend> backend;
  job.control.agree([&] { backend = make_backend(backend_options); }, {.phase = "backend"});
  return backend;
}

}  // namespace

void run_score_command(const std::vector<std::string>& arguments, Job& job) {
  ScoreOptions options;
  OptionTable table = make_score_option_table(options);
  ParsedArguments parsed;
  job.control.agree([&] { parsed = table.parse_arguments(arguments); }, kOptionsLabel);
  if (agree_on(parsed.wants_help, "--help", job)) {
    if (job.is_root()) std::fputs(table.help_text().c_str(), stdout);
    return;
  }
  if (agree_on(parsed.wants_version, "--version", job)) return run_version_command({}, job);
  read_options(parsed, table, job);
  options.version = SWITCHYARD_VERSION;
  options.listing = table.listing();
  set_log_level(options.log_level);
  const std::unique_ptr<Backend> backend = make_compute_backend(options, job);
  // The job's own communicator belongs to its one-threaded backend; the streams of the one that
  // computes need a communicator that knows its memory.
  const std::unique_ptr<Communicator> world =
      make_communicator(*backend, {.deadline_seconds = options.exchange_timeout_seconds});
  const std::unique_ptr<ProgressSink> progress = make_progress(options.progress);
  if (world->size() == 1 && options.output != "-") {
    tell_when_interrupted(concat("interrupted; what was scored, if anything, stands in ",
                                 options.output, ".partial"));
  }
  run_score(options, *backend, *world, *progress);
}

}  // namespace switchyard
