// The options that several commands share.
#pragma once

#include "launch/option_table.h"
#include "runtime/result_form.h"
#include "runtime/run_options.h"

namespace switchyard {

// Entries and groups of an OptionTable that store into the given object, which must outlive it.

OptionSpec model_option(std::string& model);
OptionSpec threads_option(int& num_threads);
OptionSpec log_level_option(LogLevel& level);
OptionSpec progress_option(ProgressForm& form);
/// --numerics, a class by name or auto.
OptionSpec numerics_option(std::string& numerics);
/// --json, a switch.
OptionSpec json_option(ResultForm& form);

/// --expert-dtype, --attention-dtype.
std::vector<OptionSpec> quantization_options(WeightQuantization& quantization);

/// --tokenizer, --dict, --special-tokens, --newlines.
OptionGroup tokenizer_options(TokenizerOptions& options);
/// --numerics, --capacity and what belongs to it.
OptionGroup numerics_options(RunOptions& options);
/// The same without a capacity, which is a matter of batches of whole sequences.
OptionGroup generation_numerics_options(RunOptions& options);
/// --exchange, --exchange-layout, --ranks-per-node.
std::vector<OptionSpec> exchange_options(ExchangeRequest& exchange);
/// --decode-graphs.
OptionSpec decode_graphs_option(DecodeGraphs& graphs);
/// --threads, --max-batch-tokens, --exchange-buffer, --placement, --load-readers-per-node,
/// --instruction-set, and exchange_options().
OptionGroup execution_options(RunOptions& options);
/// --expert-budget, --cache-policy, --prefetch and what belongs to them.
OptionGroup tier_options(TierOptions& options);
/// --log-level, --progress, --stats, --trace, --exchange-timeout, --backend, --strict-seed.
OptionGroup operation_options(RunOptions& options);

}  // namespace switchyard
