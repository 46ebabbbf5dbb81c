#include "runtime/engine.h"

#include <algorithm>
#include <iterator>
#include <utility>

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

StepHeader failure(ErrorKind kind, const std::string& message) {
  StepHeader header;
  header.kind = StepKind::kFail;
  header.error_kind = kind;
  header.error = message;
  return header;
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
  if (urgent_) {
    header = *std::exchange(urgent_, std::nullopt);
  } else if (work != nullptr) {
    try {
      header = work->next();
    } catch (const Error& error) {
      header = failure(error.kind(), error.what());
    }
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
  idle_ += predicted_idle(header, plan, limits_);
  const auto rank = static_cast<size_t>(control_.rank());
  const std::vector<int64_t> rows_of_rank = rows_of_ranks(header, plan, limits_);
  rows_ += rows_of_rank[rank];
  std::string bytes;
  try {
    bytes = report(transformer_.run(header, plan.units_of_rank[rank],
                                    *std::ranges::max_element(rows_of_rank)));
  } catch (const NonFiniteError& error) {
    bytes = report(error);
  }
  const std::vector<std::string> reports =
      control_.gather(bytes, 0, {header.step, -1, -1, "gather of results"});
  if (work == nullptr) return;
  try {
    consume(header, reports, *work);
  } catch (const Error& error) {
    urgent_ = failure(error.kind(), error.what());
  }
}

void Engine::consume(const StepHeader& header, const std::vector<std::string>& reports,
                     StepWork& work) {
  std::vector<SequenceOutput> outputs;
  std::optional<NonFiniteError> first;
  for (const std::string& rank_report : reports) {
    ByteReader reader(rank_report);
    if (reader.get<Outcome>() == Outcome::kNonFinite) {
      const NonFiniteError error = decode_non_finite(reader);
      if (!first || error.sequence() < first->sequence()) first = error;
      continue;
    }
    std::vector<SequenceOutput> decoded = decode_outputs(reader.get_string());
    std::move(decoded.begin(), decoded.end(), std::back_inserter(outputs));
  }
  if (!first) return work.consume(std::move(outputs));
  if (header.units.size() == 1) {
    urgent_ = failure(ErrorKind::kInput, work.describe(*first));
    return;
  }
  urgent_ = header;
  std::erase_if(urgent_->units, [&](const StepUnit& unit) {
    return std::ranges::find(unit.sequences, first->sequence(), &StepSequence::sequence) ==
           unit.sequences.end();
  });
}

}  // namespace switchyard
