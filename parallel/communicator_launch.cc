#include "parallel/communicator_launch.h"

#include <cstdlib>

namespace switchyard {
namespace {

/// A count in the environment; 0 if there is none.
int count_in(const GetEnv& get_env, const char* name) {
  const char* text = get_env(name);
  return text == nullptr ? 0 : std::atoi(text);
}

}  // namespace

Launch detect_launch(const GetEnv& get_env) {
  Launch launch;
  // Open MPI; MPICH and others by PMI (MPI_LOCALNRANKS: Hydra); PMIx tells no size.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS"}) {
    const int size = count_in(get_env, name);
    if (size < 1) continue;
    launch.is_launched = true;
    launch.size = size;
    return launch;
  }
  const int tasks = count_in(get_env, "SLURM_STEP_NUM_TASKS");
  if (get_env("PMIX_RANK") != nullptr || get_env("PMI_RANK") != nullptr) {
    launch.is_launched = true;
    const int ranks_so_far = count_in(get_env, "PMIX_RANK") + 1;
    launch.size = tasks > ranks_so_far ? tasks : ranks_so_far;
  } else if (tasks > 1) {
    launch.unconnected_tasks = tasks;
  }
  return launch;
}

}  // namespace switchyard
