#include "launch/compute_backend.h"

#include "kernels/base/log.h"
#include "parallel/device_placement.h"
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

/// Ranks that see a GPU. Collective.
int64_t count_ranks_with_gpu(Job& job) {
  return job.control.all_sum(has_backend(BackendKind::kCuda) ? 1 : 0, {.phase = "GPUs"});
}

/// What `auto` comes to: GPUs only where every rank sees one, the same on all ranks.
BackendKind choose_kind(BackendKind wanted, int64_t with_gpu, const Job& job) {
  if (wanted != BackendKind::kAuto) return wanted;
  if (with_gpu == job.world.size()) return BackendKind::kCuda;
  if (with_gpu > 0 && job.is_root()) {
    log_warning("only ", with_gpu, " of ", job.world.size(),
                " ranks see a GPU: all compute on processors. Start the job on nodes with GPUs "
                "only");
  }
  return BackendKind::kCpu;
}

/// The GPU of this rank. Collective; throws AgreedError.
int choose_device(const RunOptions& options, const Topology& topology, Job& job) {
  std::vector<DeviceFacts> visible;
  job.control.agree([&] { visible = visible_devices(); }, {.phase = "GPUs"});
  const int device = agree_on_device(job.control, topology, visible, options.device);
  PlacedDevice placed;
  placed.hostname = topology.hostname;
  placed.device = device;
  job.control.agree([&] { placed.facts = facts_of_device(device); }, {.phase = "GPUs"});
  placed.place = pci_place_of(placed.facts.bus_id);
  report_devices(job.control, placed);
  return device;
}

}  // namespace

std::unique_ptr<Backend> make_compute_backend(const RunOptions& options, Job& job) {
  const Topology topology = discover_topology(job.control);
  const CpuBudget budget = cpu_budget(job.control, topology);
  warn_of_launch(budget.warning, job);
  BackendOptions backend_options;
  const int64_t with_gpu = count_ranks_with_gpu(job);
  backend_options.kind = choose_kind(options.backend, with_gpu, job);
  backend_options.instruction_set = options.instruction_set;
  backend_options.num_threads =
      options.num_threads > 0 ? options.num_threads : budget.default_threads;
  backend_options.strict_seed = options.strict_seed;
  // Where no rank sees a GPU, making the backend tells why.
  if (backend_options.kind == BackendKind::kCuda && with_gpu > 0) {
    backend_options.device = choose_device(options, topology, job);
  }
  std::unique_ptr<Backend> backend;
  job.control.agree([&] { backend = make_backend(backend_options); }, {.phase = "backend"});
  return backend;
}

}  // namespace switchyard
