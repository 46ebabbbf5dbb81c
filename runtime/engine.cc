#include "runtime/engine.h"

#include <iterator>

#include "kernels/base/byte_codec.h"

namespace switchyard {
namespace {

enum class Outcome : uint8_t { kDone, kNonFinite };

/// One rank's report of a step.
std::string report(const std::vector<SequenceOutput>& outputs) {
  ByteWriter writer;
  writer.put(Outcome::kDone);
  writer.put_string(encode(outputs));
  return writer.bytes();
}

std::string report(const NonFiniteError& error) {
  ByteWriter writer;
  writer.put(Outcome::kNonFinite);
  writer.put(error.sequence());
  writer.put(error.position());
  writer.put_string(error.where());
  return writer.bytes();
}

NonFiniteError decode_non_finite(ByteReader& reader) {
  const int64_t sequence = reader.get<int64_t>();
  const int64_t position = reader.get<int64_t>();
  return NonFiniteError(sequence, position, reader.get_string());
}

}  // namespace

Engine::Engine(ControlChannel& control, Transformer& transformer, PhaseClock& clock,
               const ScheduleLimits& limits)
    : control_(control), transformer_(transformer), clock_(clock), limits_(limits) {}

void Engine::run(StepWork* work) {
  for (StepHeader header = next_header(work); header.kind != StepKind::kStop;
       header = next_header(work)) {
    if (header.kind == StepKind::kFail) throw AgreedError(header.error_kind, header.error);
    run_step(header, work);
    ++steps_;
  }
}

StepHeader Engine::next_header(StepWork* work) {
  clock_.begin(Phase::kIdle);
  StepHeader header;
  if (work != nullptr && failure_.empty()) {
    try {
      header = work->next();
    } catch (const Error& error) {
      header.kind = StepKind::kFail;
      header.error_kind = error.kind();
      header.error = error.what();
    }
  } else if (!failure_.empty()) {
    header.kind = StepKind::kFail;
    header.error = failure_;
  }
  header.step = steps_;
  // Rank 0 may be waiting for a line of standard input.
  const CollectiveLabel label = {steps_, -1, -1, "step header", Patience::kForever};
  header = decode_step_header(control_.broadcast(encode(header), 0, label));
  clock_.end();
  clock_.collect();
  return header;
}

void Engine::run_step(const StepHeader& header, StepWork* work) {
  const StepPlan plan = plan_step(header, limits_);
  const std::vector<int>& mine = plan.sequences_of_rank[static_cast<size_t>(control_.rank())];
  for (const int index : mine) {
    rows_ += header.sequences[static_cast<size_t>(index)].num_rows();
  }
  std::string bytes;
  try {
    bytes = report(transformer_.run(header, mine));
  } catch (const NonFiniteError& error) {
    bytes = report(error);
  }
  const std::vector<std::string> reports =
      control_.gather(bytes, 0, {header.step, -1, -1, "gather of results"});
  if (work == nullptr) return;
  std::vector<SequenceOutput> outputs;
  for (const std::string& rank_report : reports) {
    ByteReader reader(rank_report);
    if (reader.get<Outcome>() == Outcome::kNonFinite) {
      if (failure_.empty()) failure_ = work->describe(decode_non_finite(reader));
      continue;
    }
    std::vector<SequenceOutput> decoded = decode_outputs(reader.get_string());
    std::move(decoded.begin(), decoded.end(), std::back_inserter(outputs));
  }
  if (failure_.empty()) work->consume(std::move(outputs));
}

}  // namespace switchyard
