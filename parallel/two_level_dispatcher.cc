#include "parallel/two_level_dispatcher.h"

namespace switchyard {
namespace {

size_t slot_of(int round) { return static_cast<size_t>(round % TwoLevelDispatcher::kSlots); }

}  // namespace

TwoLevelDispatcher::TwoLevelDispatcher(Backend& backend, Communicator& experts,
                                       const NodeMap& nodes, Stream& compute, Stream& exchange,
                                       const DispatcherSizes& sizes)
    : backend_(backend),
      experts_(experts),
      nodes_(nodes),
      rail_(experts.split(nodes.rail(experts.rank()), experts.rank())),
      node_(experts.split(nodes.node(experts.rank()), experts.rank())),
      compute_(compute),
      exchange_(exchange),
      sizes_(sizes) {
  const auto rows = [&] {
    return backend_.allocate_tensor(DType::kF32, {sizes_.max_rows, sizes_.hidden_size});
  };
  const auto index = [&] { return backend_.allocate_tensor(DType::kI32, {sizes_.max_rows}); };
  for (Tensor& tensor : passing_) tensor = rows();
  for (Tensor& tensor : recv_) tensor = rows();
  for (Tensor& tensor : home_) tensor = rows();
  passing_index_ = index();
  home_index_ = index();
  for (Tensor& tensor : recv_index_) tensor = index();
}

std::vector<WarmUpPhase> TwoLevelDispatcher::warm_up_phases(int64_t num_counts) {
  const auto gather_counts = [this, num_counts](const CollectiveLabel& label) {
    const std::vector<int32_t> mine(static_cast<size_t>(num_counts));
    std::vector<int32_t> gathered(mine.size() * static_cast<size_t>(size()));
    experts_.all_gather(exchange_, mine.data(), gathered.data(),
                        num_counts * int64_t{sizeof(int32_t)}, label);
    backend_.record(exchange_).synchronize();
  };
  const auto tell_gateways = [this](const CollectiveLabel& label) {
    const std::vector<int64_t> words(static_cast<size_t>(rail_->size()), sizes_.max_rows);
    const std::vector<int32_t> sent(words.size() * static_cast<size_t>(sizes_.max_rows));
    std::vector<int32_t> received(sent.size());
    rail_->all_to_all_v(
        exchange_, {sent.data(), received.data(), int64_t{sizeof(int32_t)}, words, words}, label);
    backend_.record(exchange_).synchronize();
  };
  // Every buffer, with as many rows to each rank.
  const auto send_within = [this](Communicator& group, const CollectiveLabel& label) {
    const std::vector<int64_t> rows(static_cast<size_t>(group.size()),
                                    sizes_.max_rows / group.size());
    for (size_t slot = 0; slot < size_t{kSlots}; ++slot) {
      all_to_all(group, passing_[0], passing_[1], rows, rows, label);
      all_to_all(group, passing_[0], recv_[slot], rows, rows, label);
      all_to_all(group, passing_[1], home_[slot], rows, rows, label);
    }
    backend_.record(exchange_).synchronize();
  };
  return {{"counts", gather_counts},
          {"words to the gateways", tell_gateways},
          {"rails", [=, this](const CollectiveLabel& label) { send_within(*rail_, label); }},
          {"nodes", [=, this](const CollectiveLabel& label) { send_within(*node_, label); }}};
}

DispatchPlan TwoLevelDispatcher::plan(const LayerPlacement& placement,
                                      std::span<const int32_t> instances, int64_t top_k,
                                      const std::vector<int64_t>& max_experts,
                                      const CollectiveLabel& label, const RowForecast* forecast) {
  DispatchPlan plan = gather_plan({backend_, experts_, exchange_, label}, placement, instances,
                                  top_k, {sizes_.max_rows, max_experts, &nodes_}, forecast);
  const GatewayMessage message = plan_sources(placement, nodes_, rank(), plan);
  int64_t num_received = 0;
  for (const int64_t count : message.recv_counts) num_received += count;
  std::vector<int32_t> received(static_cast<size_t>(num_received));
  CollectiveLabel words = label;
  words.phase = "words to the gateways";
  rail_->all_to_all_v(exchange_,
                      {message.sent.data(), received.data(), int64_t{sizeof(int32_t)},
                       message.sent_counts, message.recv_counts},
                      words);
  backend_.record(exchange_).synchronize();
  plan_gateway(placement, nodes_, rank(), received, plan);
  return plan;
}

void TwoLevelDispatcher::gather(const TensorView& from, const std::vector<int32_t>& index,
                                const Tensor& to) {
  if (index.empty()) return;
  const auto count = static_cast<int64_t>(index.size());
  const TensorView uploaded = passing_index_.view().rows(0, count);
  backend_.copy_to_device(exchange_, index.data(), uploaded);
  backend_.gather_rows(exchange_, {from, uploaded, to.view().rows(0, count)});
}

void TwoLevelDispatcher::all_to_all(Communicator& group, const Tensor& from, const Tensor& to,
                                    const std::vector<int64_t>& send_rows,
                                    const std::vector<int64_t>& recv_rows,
                                    const CollectiveLabel& label) {
  const int64_t row_bytes = sizes_.hidden_size * int64_t{sizeof(float)};
  group.all_to_all_v(exchange_, {from.view().data, to.view().data, row_bytes, send_rows, recv_rows},
                     label);
}

void TwoLevelDispatcher::dispatch(const DispatchPlan& plan, int round_number, const TensorView& x,
                                  CollectiveLabel label) {
  const GatewayRound& way = plan.rounds[static_cast<size_t>(round_number)].gateway;
  label.round = round_number;
  backend_.wait(exchange_, backend_.record(compute_));
  gather(x, way.tokens, passing_[0]);
  all_to_all(*rail_, passing_[0], passing_[1], way.tokens_out, way.tokens_in, label);
  gather(passing_[1].view(), way.spread_from, passing_[0]);
  all_to_all(*node_, passing_[0], recv_[slot_of(round_number)], way.node_out, way.node_in, label);
  arrived_[slot_of(round_number)] = backend_.record(exchange_);
}

void TwoLevelDispatcher::receive(const DispatchPlan& plan, int round_number,
                                 const TensorView& grouped) {
  const DispatchRound& round = plan.rounds[static_cast<size_t>(round_number)];
  const size_t slot = slot_of(round_number);
  backend_.wait(compute_, arrived_[slot]);
  if (round.num_received() == 0) return;
  const TensorView index = recv_index_[slot].view().rows(0, round.num_received());
  backend_.copy_to_device(compute_, round.grouped_from.data(), index);
  backend_.gather_rows(compute_,
                       {recv_[slot].view(), index, grouped.rows(0, round.num_received())});
}

void TwoLevelDispatcher::give_back(const DispatchPlan& plan, int round_number,
                                   const TensorView& grouped, CollectiveLabel label) {
  const DispatchRound& round = plan.rounds[static_cast<size_t>(round_number)];
  const GatewayRound& way = round.gateway;
  const size_t slot = slot_of(round_number);
  if (round.num_received() > 0) {
    const TensorView index = recv_index_[slot].view().rows(0, round.num_received());
    backend_.scatter_rows(compute_,
                          {grouped.rows(0, round.num_received()), index, recv_[slot].view()});
  }
  label.round = round_number;
  backend_.wait(exchange_, backend_.record(compute_));
  all_to_all(*node_, recv_[slot], passing_[0], way.node_in, way.node_out, label);
  gather(passing_[0].view(), way.collect_from, passing_[1]);
  all_to_all(*rail_, passing_[1], home_[slot], way.rows_out, way.rows_in, label);
  returned_[slot] = backend_.record(exchange_);
}

void TwoLevelDispatcher::take_back(const DispatchPlan& plan, int round_number,
                                   const TensorView& expert_rows) {
  const DispatchRound& round = plan.rounds[static_cast<size_t>(round_number)];
  const size_t slot = slot_of(round_number);
  backend_.wait(compute_, returned_[slot]);
  if (round.num_sent() == 0) return;
  const TensorView index = home_index_.view().rows(0, round.num_sent());
  backend_.copy_to_device(compute_, round.sent_copies.data(), index);
  backend_.scatter_rows(compute_,
                        {home_[slot].view().rows(0, round.num_sent()), index, expert_rows});
}

}  // namespace switchyard
