#include "launch/command_line.h"

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <string_view>

#include "kernels/base/log.h"
#include "kernels/base/nearest_name.h"
#include "launch/command.h"

namespace switchyard {
namespace {

constexpr int kUnexpectedStatus = 1;

int status_of(const std::exception& error) {
  if (const auto* known = dynamic_cast<const Error*>(&error)) {
    return static_cast<int>(known->kind());
  }
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return static_cast<int>(ErrorKind::kResource);
  }
  return kUnexpectedStatus;
}

std::string text_of(const std::exception& error) {
  if (dynamic_cast<const std::bad_alloc*>(&error) == nullptr) return error.what();
  return "out of memory; use more ranks, a smaller --max-batch-tokens or --exchange-buffer";
}

/// In one write, so that the lines of several ranks do not mix.
void print_error(const std::string& text) {
  const std::string line = concat("switchyard: error: ", text, "\n");
  std::fflush(stdout);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

/// The rank the launcher gave this process, for what happens before there is a communicator.
int launched_rank() {
  for (const char* name : {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"}) {
    if (const char* text = std::getenv(name)) return std::atoi(text);
  }
  return 0;
}

/// The command that the first argument names; throws Error(kUsage).
const Command& find_command(const std::string& word) {
  const std::string name = word.empty()                              ? "help"
                           : word == "--help" || word == "--version" ? word.substr(2)
                                                                     : word;
  std::vector<std::string> names;
  for (const Command& command : commands()) {
    if (command.name == name) return command;
    names.emplace_back(command.name);
  }
  fail_usage("unknown command '", word, "'", suggestion(word, names),
             "; 'switchyard help' lists the commands");
}

/// Agrees with all ranks on the command, so that no rank waits for one that does something else.
void run_command(const std::vector<std::string>& arguments, Job& job) {
  constexpr CollectiveLabel kLabel{.phase = "command"};
  const std::string word = arguments.empty() ? "" : arguments.front();
  const std::string root_word = job.control.broadcast(word, 0, kLabel);
  const Command* command = nullptr;
  const auto find = [&] {
    command = &find_command(word);
    if (word != root_word) {
      fail_usage("was started with command '", word, "', rank 0 with '", root_word,
                 "'; start every rank with the same command");
    }
  };
  job.control.agree(find, kLabel);
  std::vector<std::string> rest = arguments;
  if (!rest.empty()) rest.erase(rest.begin());
  command->run(rest, job);
}

/// Runs the command and reports its failure: what all ranks know is told by rank 0; an error of
/// this rank alone ends the others too.
int run_job(const std::vector<std::string>& arguments, Backend& backend, Communicator& world) {
  if (world.size() > 1) set_log_prefix(concat("[rank ", world.rank(), "/", world.size(), "] "));
  try {
    ControlChannel control(backend, world);
    Job job{backend, world, control};
    run_command(arguments, job);
    return 0;
  } catch (const AgreedError& error) {
    if (world.rank() == 0) print_error(error.what());
    return status_of(error);
  } catch (const std::exception& error) {
    print_error(world.size() == 1 ? text_of(error)
                                  : concat("rank ", world.rank(), ": ", text_of(error)));
    world.abort(status_of(error));
    return status_of(error);
  }
}

}  // namespace

int run_command_line(const std::vector<std::string>& arguments) {
  // A file that may not grow further is an error of write(2), which is told, not the end.
  std::signal(SIGXFSZ, SIG_IGN);
  try {
    const std::unique_ptr<Backend> backend = make_backend({.kind = BackendKind::kCpu});
    const std::unique_ptr<Communicator> world = make_communicator(*backend, {});
    return run_job(arguments, *backend, *world);
  } catch (const std::exception& error) {
    // There is nothing to agree over: every rank that fails says so.
    const int rank = launched_rank();
    print_error(rank == 0 ? text_of(error) : concat("rank ", rank, ": ", text_of(error)));
    return status_of(error);
  }
}

}  // namespace switchyard
