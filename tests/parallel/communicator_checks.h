// Checks that hold for every communicator; each rank calls the same ones in the same order.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/backend.h"
#include "parallel/communicator.h"

namespace switchyard {

/// How many rows go from one rank to another.
enum class RowCounts {
  kRandom,    ///< 0 to 9
  kSparse,    ///< most are 0
  kNone,      ///< all are 0
  kToOne,     ///< all to the last rank
  kFromOne,   ///< all from rank 0
  kSelfOnly,  ///< each rank's own
};

struct ExchangeCase {
  RowCounts counts = RowCounts::kRandom;
  int64_t row_bytes = 1;
  uint64_t seed = 1;
};

/// Device memory that ends in a guard: an exchange must leave it alone.
class DeviceBytes {
 public:
  /// `content` is uploaded at once.
  DeviceBytes(Backend& backend, Stream& stream, const std::string& content);
  void* data() const { return memory_.data(); }
  /// Enqueues the copy to the host and waits for the stream. Checks the guard.
  std::string download() const;

 private:
  Backend& backend_;
  Stream& stream_;
  int64_t bytes_;
  DeviceBuffer memory_;
};

/// `bytes` bytes that tell what they are: any two different (seed, from, to) differ.
std::string message(uint64_t seed, int from, int to, int64_t bytes);

/// All-to-alls, several in flight, and the way back.
void check_all_to_all(Backend& backend, Communicator& communicator, const ExchangeCase& exchange);
/// all_gather, all_gather_v (also in place) and broadcasts from several ranks.
void check_gathers(Backend& backend, Communicator& communicator, uint64_t seed);
/// No rank passes a barrier before all have come to it.
void check_barrier(Backend& backend, Communicator& communicator);
/// Groups of odd and even ranks, in reverse order, and what they exchange.
void check_split(Backend& backend, Communicator& communicator);
/// A broadcast whose root comes late and all-to-alls of another communicator do not wait for each
/// other.
void check_concurrent(Backend& backend, Communicator& communicator);
/// All functions of a ControlChannel.
void check_control_channel(Backend& backend, Communicator& communicator);

/// Collectives whose buffers lie partly in host and partly in device memory, differently on odd and
/// even ranks.
void check_mixed_memory(Backend& backend, Communicator& communicator);

/// All of the above that every transport passes: not check_mixed_memory.
void check_everything(Backend& backend, Communicator& communicator);

}  // namespace switchyard
