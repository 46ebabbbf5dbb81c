#include "runtime/output_layer.h"

#include <algorithm>
#include <cmath>

#include "runtime/norm.h"

namespace switchyard {
namespace {

template <typename T>
std::vector<T> slice(const std::vector<T>& values, int64_t first, int64_t count) {
  if (values.empty()) return {};
  return {values.begin() + first, values.begin() + first + count};
}

}  // namespace

std::vector<SequenceOutput> OutputLayer::run(const StepHeader& header, const StepRows& rows) {
  const int64_t count = rows.num_targets();
  const int64_t top = header.top_logprobs;
  if (count > 0) {
    p_.backend.copy_to_device(p_.compute, rows.targets.data(),
                              p_.workspace.rows(BufferId::kTargets, count));
    p_.backend.copy_to_device(p_.compute, rows.target_rows.data(),
                              p_.workspace.rows(BufferId::kLogitIndex, count));
  }
  const int64_t chunk = p_.workspace.view(BufferId::kLogits).shape[0];
  for (int64_t first = 0; first < count; first += chunk) {
    run_chunk(header, rows, first, std::min(chunk, count - first));
  }
  const Results results = fetch(count, top);
  require_finite(rows, results);

  std::vector<SequenceOutput> outputs;
  int64_t next = 0;
  int64_t next_sample = rows.num_scored();
  for (const StepSequence* member : rows.members) {
    const auto targets = static_cast<int64_t>(member->target_ids.size());
    SequenceOutput& output = outputs.emplace_back();
    output.sequence = member->sequence;
    output.logprobs = slice(results.logprobs, next, targets);
    output.greedy = slice(results.greedy, next, targets);
    output.top_ids = slice(results.top_ids, next * top, targets * top);
    output.top_logprobs = slice(results.top_logprobs, next * top, targets * top);
    next += targets;
    if (!member->sample) continue;
    output.token = results.targets[static_cast<size_t>(next_sample)];
    output.token_logprob = results.logprobs[static_cast<size_t>(next_sample)];
    ++next_sample;
  }
  return outputs;
}

void OutputLayer::run_chunk(const StepHeader& header, const StepRows& rows, int64_t first,
                            int64_t count) {
  const Workspace& workspace = p_.workspace;
  const TensorView chosen = workspace.rows(BufferId::kLogitRows, count);
  const auto part = [&](BufferId id) { return workspace.view(id).rows(first, count); };
  p_.backend.gather_rows(p_.compute, {workspace.rows(BufferId::kHidden, rows.count()),
                                      part(BufferId::kLogitIndex), chosen});
  if (p_.config.final_norm == FinalNorm::kApplied) {
    normalize_rows(p_.config, p_.weights.final_norm(), chosen, chosen, p_.backend, p_.compute);
  }
  const TensorView logits = workspace.rows(BufferId::kLogits, count);
  const LinearWeights& output = p_.weights.output();
  p_.backend.matmul(
      p_.compute,
      {chosen, output.weight, output.bias, Activation::kNone, {}, logits, p_.config.logits_scale});
  if (p_.observer != nullptr) p_.observer->see("logits", first, logits, p_.backend, p_.compute);
  const int64_t chunk = workspace.view(BufferId::kLogits).shape[0];
  const int64_t check = p_.config.num_layers() + 1 + first / chunk;
  p_.backend.find_non_finite(p_.compute,
                             {logits, workspace.view(BufferId::kNonFinite).rows(check, 1)});
  if (first + count > rows.num_scored()) sample(header, rows, first, logits);
  LogProbsArgs args;
  args.logits = logits;
  args.targets = part(BufferId::kTargets);
  args.logprobs = part(BufferId::kLogProbs);
  args.greedy = part(BufferId::kGreedy);
  if (header.top_logprobs > 0) {
    args.top_ids = part(BufferId::kTopIds);
    args.top_logprobs = part(BufferId::kTopLogProbs);
  }
  p_.backend.log_probs(p_.compute, args);
}

void OutputLayer::sample(const StepHeader& header, const StepRows& rows, int64_t first,
                         const TensorView& logits) {
  const int64_t begin = std::max(first, rows.num_scored());
  const int64_t count = first + logits.shape[0] - begin;
  SampleArgs args;
  args.logits = logits.rows(begin - first, count);
  const auto settings = rows.samples.begin() + (begin - rows.num_scored());
  args.rows.assign(settings, settings + count);
  args.eos_ids = header.eos_ids;
  args.banned_ids = header.banned_ids;
  // The new tokens become targets, so that their log-probs are those that scoring would give.
  args.tokens = p_.workspace.view(BufferId::kTargets).rows(begin, count);
  p_.backend.sample(p_.compute, args);
}

OutputLayer::Results OutputLayer::fetch(int64_t count, int64_t top_logprobs) {
  Results results;
  const auto copy = [&](BufferId id, int64_t rows, int64_t cols, auto& to) {
    to.resize(static_cast<size_t>(rows * cols));
    if (rows > 0) p_.backend.copy_to_host(p_.compute, p_.workspace.rows(id, rows), to.data());
  };
  copy(BufferId::kTargets, count, 1, results.targets);
  copy(BufferId::kLogProbs, count, 1, results.logprobs);
  copy(BufferId::kGreedy, count, 1, results.greedy);
  if (top_logprobs > 0) {
    copy(BufferId::kTopIds, count, top_logprobs, results.top_ids);
    copy(BufferId::kTopLogProbs, count, top_logprobs, results.top_logprobs);
  }
  if (count > 0) {
    const int64_t chunk = p_.workspace.view(BufferId::kLogits).shape[0];
    const int64_t checks = p_.config.num_layers() + 1 + (count + chunk - 1) / chunk;
    copy(BufferId::kNonFinite, checks, 1, results.non_finite);
  }
  p_.backend.record(p_.compute).synchronize();
  return results;
}

void OutputLayer::require_finite(const StepRows& rows, const Results& results) const {
  const int64_t chunk = p_.workspace.view(BufferId::kLogits).shape[0];
  const int num_layers = p_.config.num_layers();
  int64_t target = -1;
  for (size_t i = static_cast<size_t>(num_layers) + 1; i < results.non_finite.size(); ++i) {
    if (results.non_finite[i] < 0) continue;
    target = static_cast<int64_t>(i - static_cast<size_t>(num_layers) - 1) * chunk +
             results.non_finite[i];
    break;
  }
  for (size_t i = 0; i < results.logprobs.size() && target < 0; ++i) {
    if (!std::isfinite(results.logprobs[i])) target = static_cast<int64_t>(i);
  }
  if (target < 0) return;
  const auto row = static_cast<size_t>(rows.target_rows[static_cast<size_t>(target)]);
  const RowOrigin& origin = rows.origins[row];
  std::string where = "the logits";
  for (int i = num_layers; i >= 0; --i) {
    if (results.non_finite[static_cast<size_t>(i)] < 0) continue;
    where = i == 0 ? "the embedding" : concat("layer ", i - 1);
  }
  throw NonFiniteError(origin.sequence, origin.position, where);
}

}  // namespace switchyard
