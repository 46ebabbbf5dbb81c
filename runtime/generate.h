// `generate`: continuations of the prompts of a file.
#pragma once

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "runtime/generate_options.h"
#include "runtime/progress.h"

namespace switchyard {

/// Continues the prompts of options.input, or options.prompt, with options.run.model into
/// options.output, OUT.partial while it runs, and OUT.meta.json; shows the text of a stream on
/// standard output. Collective over `world`, whose backend is `backend`. `progress` is used on rank
/// 0 only. Throws AgreedError on every rank for what the user can mend; any other exception is this
/// rank's alone and must end the job.
void run_generate(const GenerateOptions& options, Backend& backend, Communicator& world,
                  ProgressSink& progress);

}  // namespace switchyard
