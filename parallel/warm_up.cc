#include "parallel/warm_up.h"

#include <algorithm>

#include "kernels/base/byte_codec.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/base/steady_seconds.h"
#include "kernels/base/text_table.h"

namespace switchyard {
namespace {

constexpr CollectiveLabel kLabel{.phase = "warm-up"};

/// In milliseconds.
double time_phase(const WarmUpPhase& phase, int rank) {
  const CollectiveLabel label{.phase = phase.name, .patience = Patience::kShort};
  const double begin = steady_seconds();
  try {
    phase.run(label);
  } catch (const Error& error) {
    throw Error(error.kind(),
                concat("the first ", phase.name, " failed on rank ", rank, ": ", error.what()));
  }
  return 1e3 * (steady_seconds() - begin);
}

}  // namespace

void warm_up(ControlChannel& control, const std::vector<WarmUpPhase>& phases) {
  std::vector<double> milliseconds;
  for (const WarmUpPhase& phase : phases) {
    // Together, so that a time is the exchange's own and not that of waiting for others.
    control.barrier(kLabel);
    milliseconds.push_back(time_phase(phase, control.rank()));
  }
  ByteWriter writer;
  writer.put_vector(milliseconds);
  std::vector<std::vector<double>> of_rank;
  for (const std::string& message : control.gather(writer.bytes(), 0, kLabel)) {
    of_rank.push_back(ByteReader(message).get_vector<double>());
  }
  if (control.rank() == 0) {
    log_info("first exchanges (ms)\n", warm_up_table(phases, of_rank));
  }
}

std::string warm_up_table(const std::vector<WarmUpPhase>& phases,
                          const std::vector<std::vector<double>>& milliseconds_of_rank) {
  constexpr int kDecimals = 2;
  std::vector<std::string> header = {"rank"};
  for (const WarmUpPhase& phase : phases) header.emplace_back(phase.name);
  TextTable table(header);
  std::vector<double> slowest(phases.size(), 0.0);
  for (size_t rank = 0; rank < milliseconds_of_rank.size(); ++rank) {
    std::vector<std::string> cells = {std::to_string(rank)};
    for (size_t phase = 0; phase < phases.size(); ++phase) {
      const double milliseconds = milliseconds_of_rank[rank][phase];
      cells.push_back(format_fixed(milliseconds, kDecimals));
      slowest[phase] = std::max(slowest[phase], milliseconds);
    }
    table.add_row(cells);
  }
  std::vector<std::string> last = {"slowest"};
  for (const double milliseconds : slowest) last.push_back(format_fixed(milliseconds, kDecimals));
  table.add_row(last);
  return table.text();
}

}  // namespace switchyard
