#include "launch/run_command.h"

#include <memory>

#include "kernels/base/error.h"
#include "launch/compute_backend.h"
#include "launch/progress.h"
#include "launch/signals.h"

namespace switchyard {

void run_model_command(RunOptions& options, const OptionTable& table, Job& job,
                       const std::string& interrupted, const ModelWork& work) {
  options.version = SWITCHYARD_VERSION;
  options.command = table.command();
  options.listing = table.listing();
  set_log_level(options.log_level);
  const std::unique_ptr<Backend> backend = make_compute_backend(options, job);
  // The job's own communicator belongs to its one-threaded backend; the streams of the one that
  // computes need a communicator that knows its memory.
  const std::unique_ptr<Communicator> world = make_communicator(
      *backend,
      {.deadline_seconds = options.exchange_timeout_seconds, .transport = options.transport});
  const std::unique_ptr<ProgressSink> progress = make_progress(options.progress);
  if (world->size() == 1 && !interrupted.empty()) {
    tell_when_interrupted(concat("interrupted; ", interrupted));
  }
  work(*backend, *world, *progress);
}

}  // namespace switchyard
