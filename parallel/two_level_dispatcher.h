// Rows to their experts and back over several nodes, each token once across the network.
//
//    node A                          node B
//    a0  x ---- rail 0: tokens ----> b0  -- inside: rows --> b0, b1 (experts)
//    a1  x ---- rail 1: tokens ----> b1  -- inside: rows --> b0, b1
//
// A rank talks across nodes only with the gateways on its rail (parallel/node_map.h): one message
// for each node, so the ranks of a node share its network links and no rank is a bottleneck. A
// token with three choices on node B goes to its gateway there once (in a round); the gateway
// copies it into a row for each choice and spreads the rows inside the node. Results return by the
// same way, but every row of its own: combine sums rows along a tree over expert ids, so sums of
// some would change the bits. A rank is its own gateway on its node.
//
// A gateway cannot know from counts which rows are copies of one token. So plan() sends, on the
// rails, one 32-bit word for each row of the step.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "parallel/gateway_plan.h"
#include "parallel/node_map.h"
#include "parallel/token_dispatcher.h"

namespace switchyard {

/// The exchange through gateways. Its collectives and the gateways' copies take their turns on the
/// exchange stream, through two passing buffers; two receive and two home buffers let rounds travel
/// while another computes.
class TwoLevelDispatcher final : public RowExchange {
 public:
  static constexpr int kSlots = 2;

  /// Bytes of the exchange buffers for one row of a round: the rows and their indices.
  static constexpr int64_t bytes_per_row(int64_t hidden_size) {
    constexpr int64_t kBuffers = 2 + 2 * kSlots;
    return kBuffers * hidden_size * int64_t{sizeof(float)} +
           (kSlots + 2) * int64_t{sizeof(int32_t)};
  }

  /// Collective over `experts`, the expert-parallel communicator, whose ranks stand on `nodes`. All
  /// references must outlive the dispatcher.
  TwoLevelDispatcher(Backend& backend, Communicator& experts, const NodeMap& nodes, Stream& compute,
                     Stream& exchange, const DispatcherSizes& sizes);

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

 private:
  /// Rows `index` of `from` into `to`, on the exchange stream.
  void gather(const TensorView& from, const std::vector<int32_t>& index, const Tensor& to);
  void all_to_all(Communicator& group, const Tensor& from, const Tensor& to,
                  const std::vector<int64_t>& send_rows, const std::vector<int64_t>& recv_rows,
                  const CollectiveLabel& label);

  Backend& backend_;
  Communicator& experts_;
  NodeMap nodes_;
  std::unique_ptr<Communicator> rail_;
  std::unique_ptr<Communicator> node_;
  Stream& compute_;
  Stream& exchange_;
  DispatcherSizes sizes_;
  std::array<Tensor, 2> passing_;          // [max_rows, D], only on the exchange stream
  std::array<Tensor, kSlots> recv_;        // [max_rows, D]
  std::array<Tensor, kSlots> home_;        // [max_rows, D]
  Tensor passing_index_;                   // [max_rows] int32, only on the exchange stream
  Tensor home_index_;                      // [max_rows] int32
  std::array<Tensor, kSlots> recv_index_;  // [max_rows] int32
  std::array<Event, kSlots> arrived_;
  std::array<Event, kSlots> returned_;
};

}  // namespace switchyard
