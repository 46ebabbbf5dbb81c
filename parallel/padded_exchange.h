// Rows to their experts and back without counts on the host.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/graph_recorder.h"
#include "parallel/communicator.h"
#include "parallel/expert_placement.h"

namespace switchyard {

/// How the rows of a MoE step are counted. No result depends on it.
enum class ExchangeLayout : uint8_t {
  kAuto,    ///< padded on GPUs where a step's slots are small, else exact
  kExact,   ///< on the host, which waits for them: as many rows travel as there are
  kPadded,  ///< on the device: a fixed number travels in slots of equal size
};

/// Buffers of a RowExchange that are free between its steps.
struct PaddedBuffers {
  TensorView send;          // [max_rows, D]
  TensorView received;      // [max_rows, D]
  TensorView places;        // [max_rows] int32
  TensorView grouped_from;  // [max_rows] int32
};

/// What every rank knows of a MoE step before its gate.
struct PaddedStep {
  int moe_layer = 0;
  int64_t top_k = 0;
  int64_t most_rows = 0;  // T of the rank that has most
};

/// Moves the rows of one rank to their experts and back in slots that hold all choices of the
/// largest rank, so that nobody needs to know how many go where: the host enqueues a step and goes
/// on. Gives the experts the rows of the other layout in the same order. For layers whose experts
/// each live on one rank. A rank alone takes its rows from the slot they would be sent from.
///
/// The order of calls in a step is dispatch(), the experts, combine(). Every rank makes the same.
class PaddedExchange {
 public:
  /// Slots of a rank in a step take at most so much under ExchangeLayout::kAuto: about 20 us of a
  /// link between GPUs (400 GB/s), less than the host's look at the counts that they save.
  static constexpr int64_t kMostAutoBytes = int64_t{8} << 20;

  /// Bytes of device memory besides the borrowed buffers.
  static int64_t table_bytes(const std::vector<LayerPlacement>& placements, int rank);
  /// Rows of its buffers that a step takes.
  static int64_t rows_needed(int64_t num_ranks, int64_t most_instances, int64_t hidden_size,
                             int64_t copies);

  /// `placements` by MoE layer. What `recorder` records of `compute` it interrupts for the transfer
  /// of rows. All references and buffers must outlive the exchange.
  PaddedExchange(Backend& backend, Communicator& experts, Stream& compute, Stream& exchange,
                 GraphRecorder& recorder, const PaddedBuffers& buffers,
                 const std::vector<LayerPlacement>& placements);

  /// Whether the buffers hold the step's slots; the same on every rank.
  bool fits(const PaddedStep& step) const;
  /// Bytes that a rank sends to the experts.
  int64_t bytes_sent(const PaddedStep& step) const;

  /// Rows of the experts' input at most: with R ranks R * most_rows * top_k.
  int64_t most_grouped_rows(const PaddedStep& step) const {
    return num_ranks() * step.most_rows * step.top_k;
  }
  /// Where the rows of each local expert begin, [local experts + 1] int32, from a layer's
  /// dispatch() to its next.
  TensorView row_offsets(int moe_layer) const;
  /// Those of all layers, one after the other, to be copied together.
  const TensorView& all_row_offsets() const { return row_offsets_.view(); }

  /// Sends the rows `x` [T, D] to their choices `topk_idx` [T, k] (-1: none), and groups those that
  /// arrive into `grouped` [at least most_grouped_rows, D].
  void dispatch(const PaddedStep& step, const TensorView& topk_idx, const TensorView& x,
                const TensorView& grouped, const CollectiveLabel& label);
  /// Sends the experts' outputs, in the order of dispatch(), back, and stores that of choice c in
  /// row c of `expert_rows` [T * k, D]; rows of no choice stay as they are.
  void combine(const PaddedStep& step, const TensorView& grouped, const TensorView& expert_rows,
               const CollectiveLabel& label);

 private:
  struct LayerTables {
    int64_t num_local = 0;
    int64_t first_offset = 0;    // in row_offsets_
    int64_t most_instances = 0;  // of a rank
    Tensor instance_of_expert;   // [E] int32
    Tensor first_instance;       // [ranks + 1] int32
  };

  int num_ranks() const { return experts_.size(); }
  int64_t width() const { return buffers_.send.shape[1]; }
  PaddedSlots slots(const TensorView& rows, const PaddedStep& step) const;
  PaddedSlots sent(const PaddedStep& step) const { return slots(buffers_.send, step); }
  PaddedSlots received(const PaddedStep& step) const {
    return slots(num_ranks() == 1 ? buffers_.send : buffers_.received, step);
  }
  void exchange(const PaddedSlots& from, const PaddedSlots& to, const CollectiveLabel& label);
  /// Enqueues the transfer.
  void move(const PaddedSlots& from, const PaddedSlots& to, const CollectiveLabel& label);

  Backend& backend_;
  Communicator& experts_;
  Stream& compute_;
  Stream& exchange_;
  GraphRecorder& recorder_;
  PaddedBuffers buffers_;
  std::vector<LayerTables> layers_;
  Tensor row_offsets_;      // int32, of all layers
  int64_t num_copies_ = 0;  // of the running step, on this rank
};

/// What of a job decides whether its MoE steps may be padded; the same on every rank.
struct PaddingConditions {
  bool is_direct = true;         // rows travel straight to their experts
  bool is_resident = true;       // every expert of every rank has a slot
  bool has_capacity = false;     // experts refuse rows
  bool has_copies = false;       // an expert lives on several ranks
  bool is_uneven = false;        // experts of one layer differ in size
  bool counts_on_device = true;  // Backend::takes_device_offsets()
};

/// Why steps cannot be padded; none: they can.
std::optional<std::string> padding_obstacle(const PaddingConditions& conditions);

}  // namespace switchyard
