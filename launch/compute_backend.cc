#include "launch/compute_backend.h"

#include "kernels/base/log.h"
#include "parallel/topology.h"

namespace switchyard {
namespace {

/// Tells once, for the whole job, where the launcher wastes cores.
void warn_of_launch(const std::string& warning, Job& job) {
  const std::vector<std::string> warnings =
      job.control.gather(warning, 0, {.phase = "processor cores"});
  for (size_t rank = 0; rank < warnings.size(); ++rank) {
    if (warnings[rank].empty()) continue;
    log_warning("rank ", rank, ": ", warnings[rank]);
    return;
  }
}

}  // namespace

std::unique_ptr<Backend> make_compute_backend(const RunOptions& options, Job& job) {
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

}  // namespace switchyard
