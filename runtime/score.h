// `score`: log-probabilities of the tokens of every request of a file.
#pragma once

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "runtime/progress.h"
#include "runtime/score_options.h"

namespace switchyard {

/// Scores options.input with options.model into options.output, OUT.partial while it runs, and
/// OUT.meta.json. Collective over `world`, whose backend is `backend`. `progress` is used on rank 0
/// only. Throws AgreedError on every rank for what the user can mend; any other exception is this
/// rank's alone and must end the job.
void run_score(const ScoreOptions& options, Backend& backend, Communicator& world,
               ProgressSink& progress);

}  // namespace switchyard
