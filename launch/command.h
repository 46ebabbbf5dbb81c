// What every command gets, and the commands.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/control_channel.h"

namespace switchyard {

/// The job this process is a rank of. Its backend has one thread and serves control traffic only; a
/// command makes the backend it computes with.
struct Job {
  Backend& backend;
  Communicator& world;
  ControlChannel& control;

  /// Does this rank speak for the job?
  bool is_root() const { return world.rank() == 0; }
};

/// One entry of the command line's first word.
struct Command {
  const char* name;
  const char* summary;
  /// `arguments` are those after the name. Every rank runs it; throws AgreedError for the user's
  /// errors, on every rank.
  void (*run)(const std::vector<std::string>& arguments, Job& job);
};

/// All commands, in the order of `switchyard help`.
const std::vector<Command>& commands();

void run_score_command(const std::vector<std::string>& arguments, Job& job);
void run_generate_command(const std::vector<std::string>& arguments, Job& job);
void run_perplexity_command(const std::vector<std::string>& arguments, Job& job);
void run_tokenize_command(const std::vector<std::string>& arguments, Job& job);
void run_inspect_command(const std::vector<std::string>& arguments, Job& job);
void run_convert_command(const std::vector<std::string>& arguments, Job& job);
void run_synthesize_command(const std::vector<std::string>& arguments, Job& job);
void run_bench_command(const std::vector<std::string>& arguments, Job& job);
void run_report_command(const std::vector<std::string>& arguments, Job& job);
void run_version_command(const std::vector<std::string>& arguments, Job& job);
void run_help_command(const std::vector<std::string>& arguments, Job& job);

}  // namespace switchyard
