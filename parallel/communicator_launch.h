// Who started this process.
#pragma once

#include <functional>

namespace switchyard {

/// Looks up an environment variable; null if it is not set.
using GetEnv = std::function<const char*(const char* name)>;

struct Launch {
  bool is_launched = false;  ///< by mpirun or srun, with MPI
  int size = 1;              ///< ranks of the job, as far as the environment tells
  /// Tasks of an srun that offers no way to MPI: each runs by itself. 1 otherwise.
  int unconnected_tasks = 1;
};

/// Reads what launchers leave in the environment. Slurm's own variables alone are no sign: the
/// shell of a batch job has them too.
Launch detect_launch(const GetEnv& get_env);

}  // namespace switchyard
