// Rows to their experts and back, round by round.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/backend.h"
#include "parallel/communicator.h"
#include "parallel/dispatch_plan.h"
#include "parallel/expert_placement.h"
#include "parallel/padded_exchange.h"
#include "parallel/warm_up.h"

namespace switchyard {

/// Sizes of a dispatcher's buffers.
struct DispatcherSizes {
  int64_t hidden_size = 0;
  int64_t max_rows = 0;  ///< of one round, sent and received
};

/// What a rank expects of a layer to come: rows per instance of its placement. Travels with the
/// counts of the running layer, so that it costs no collective of its own.
struct RowForecast {
  const LayerPlacement& placement;
  std::vector<int32_t> rows;  // [instances]
};

/// Moves the rows of one rank to their experts and back through buffers of its own.
///
/// The order of calls for n rounds is: dispatch(0); then for r = 0 ... n - 1: dispatch(r + 1) if
/// there is one, receive(r), compute, give_back(r), and take_back(r - 1) if r > 0; at the end
/// take_back(n - 1). Every rank makes the same calls.
class RowExchange {
 public:
  RowExchange() = default;
  RowExchange(const RowExchange&) = delete;
  RowExchange& operator=(const RowExchange&) = delete;
  virtual ~RowExchange() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Its exchanges at their largest, on the buffers of the rounds to come: `num_counts` numbers of
  /// every rank, rounds to the experts, and back. What the buffers hold is lost.
  virtual std::vector<WarmUpPhase> warm_up_phases(int64_t num_counts) = 0;

  /// Gathers the counts of all ranks and computes the rounds; blocks the host until every rank has
  /// come here. `instances` as in plan_dispatch. The streams copy from the plan: it must live until
  /// they have passed the step. `forecast` may be null, on all ranks alike.
  virtual DispatchPlan plan(const LayerPlacement& placement, std::span<const int32_t> instances,
                            int64_t top_k, const std::vector<int64_t>& max_experts,
                            const CollectiveLabel& label, const RowForecast* forecast) = 0;

  /// Gathers the round's rows from `x` [T, D] and sends them.
  virtual void dispatch(const DispatchPlan& plan, int round, const TensorView& x,
                        CollectiveLabel label) = 0;
  /// Makes the compute stream wait for the round's rows and groups them by expert into `grouped`
  /// [at least num_received, D].
  virtual void receive(const DispatchPlan& plan, int round, const TensorView& grouped) = 0;
  /// Sends the experts' outputs, in the order of receive(), back to where the rows came from.
  virtual void give_back(const DispatchPlan& plan, int round, const TensorView& grouped,
                         CollectiveLabel label) = 0;
  /// Makes the compute stream wait for the returned rows and stores that of copy c in row c of
  /// `expert_rows` [T * top_k, D].
  virtual void take_back(const DispatchPlan& plan, int round, const TensorView& expert_rows) = 0;

  /// Buffers that it lends between its steps; none where it has no fitting ones.
  virtual std::optional<PaddedBuffers> padded_buffers() const { return std::nullopt; }
};

/// Where an exchange gathers its counts.
struct CountGather {
  Backend& backend;
  Communicator& experts;
  Stream& stream;
  const CollectiveLabel& label;
};

/// What every exchange's plan() begins with: gathers the counts of all ranks, blocking the host,
/// and computes the rounds.
DispatchPlan gather_plan(const CountGather& over, const LayerPlacement& placement,
                         std::span<const int32_t> instances, int64_t top_k,
                         const RoundLimits& limits, const RowForecast* forecast);

/// Sends each row straight to the rank of its expert. Three send and two receive buffers let round
/// r + 1 travel to its experts, and round r - 1 travel back, while round r computes. A row returns
/// to the place in the send buffer it left from. A rank alone takes its rows from there.
class TokenDispatcher final : public RowExchange {
 public:
  static constexpr int kSendBuffers = 3;
  static constexpr int kRecvBuffers = 2;

  /// Bytes of the exchange buffers for one row of a round: the rows and their indices.
  static constexpr int64_t bytes_per_row(int64_t hidden_size) {
    constexpr int64_t kBuffers = kSendBuffers + kRecvBuffers;
    return kBuffers * hidden_size * int64_t{sizeof(float)} +
           (kBuffers + 1) * int64_t{sizeof(int32_t)};
  }

  /// `experts` is the expert-parallel communicator. All references must outlive the dispatcher.
  TokenDispatcher(Backend& backend, Communicator& experts, Stream& compute, Stream& exchange,
                  const DispatcherSizes& sizes);

  std::vector<WarmUpPhase> warm_up_phases(int64_t num_counts) override;
  int rank() const override { return experts_.rank(); }
  int size() const override { return experts_.size(); }

  DispatchPlan plan(const LayerPlacement& placement, std::span<const int32_t> instances,
                    int64_t top_k, const std::vector<int64_t>& max_experts,
                    const CollectiveLabel& label, const RowForecast* forecast) override;

  void dispatch(const DispatchPlan& plan, int round, const TensorView& x,
                CollectiveLabel label) override;
  void receive(const DispatchPlan& plan, int round, const TensorView& grouped) override;
  void give_back(const DispatchPlan& plan, int round, const TensorView& grouped,
                 CollectiveLabel label) override;
  void take_back(const DispatchPlan& plan, int round, const TensorView& expert_rows) override;
  std::optional<PaddedBuffers> padded_buffers() const override;

 private:
  struct Slot {
    Tensor rows;   // [max_rows, D]
    Tensor index;  // [max_rows] int32
  };

  /// Where a round's rows arrive.
  TensorView arrived_rows(int round) const;
  TensorView upload(const Slot& slot, const std::vector<int32_t>& index);
  /// Enqueues an all-to-all behind what the compute stream holds; returns its end.
  Event exchange(const Slot& from, const Slot& to, const std::vector<int64_t>& send_rows,
                 const std::vector<int64_t>& recv_rows, const CollectiveLabel& label);

  Backend& backend_;
  Communicator& experts_;
  Stream& compute_;
  Stream& exchange_;
  DispatcherSizes sizes_;
  std::array<Slot, kSendBuffers> send_;
  std::array<Slot, kRecvBuffers> recv_;
  Tensor token_index_;  // [max_rows] int32
  std::array<Event, kSendBuffers> arrived_;
  std::array<Event, kSendBuffers> returned_;
};

}  // namespace switchyard
