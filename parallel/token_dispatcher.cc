#include "parallel/token_dispatcher.h"

#include <utility>

namespace switchyard {
namespace {

size_t slot_of(int round, int slots) { return static_cast<size_t>(round % slots); }

}  // namespace

DispatchPlan gather_plan(const CountGather& over, const LayerPlacement& placement,
                         std::span<const int32_t> instances, int64_t top_k,
                         const RoundLimits& limits, const RowForecast* forecast) {
  const int rank = over.experts.rank();
  std::vector<int32_t> mine = count_instances(instances, placement.num_instances());
  const size_t num_counts = mine.size();
  if (forecast != nullptr) {
    mine.insert(mine.end(), forecast->rows.begin(), forecast->rows.end());
  }
  std::vector<int32_t> gathered = mine;
  if (over.experts.size() > 1) {
    gathered.resize(mine.size() * static_cast<size_t>(over.experts.size()));
    over.experts.all_gather(over.stream, mine.data(), gathered.data(),
                            static_cast<int64_t>(mine.size() * sizeof(int32_t)), over.label);
    over.backend.record(over.stream).synchronize();
  }
  std::vector<int32_t> counts;
  std::vector<int64_t> expected;
  if (forecast != nullptr) {
    expected.assign(static_cast<size_t>(forecast->placement.num_local_experts(rank)), 0);
  }
  for (size_t begin = 0; begin < gathered.size(); begin += mine.size()) {
    const auto from = gathered.begin() + static_cast<std::ptrdiff_t>(begin);
    counts.insert(counts.end(), from, from + static_cast<std::ptrdiff_t>(num_counts));
    for (size_t local = 0; local < expected.size(); ++local) {
      const int64_t instance =
          forecast->placement.first_instance(rank) + static_cast<int64_t>(local);
      expected[local] += gathered[begin + num_counts + static_cast<size_t>(instance)];
    }
  }
  DispatchPlan plan = plan_dispatch(placement, rank, counts, instances, top_k, limits);
  plan.forecast = std::move(expected);
  return plan;
}

TokenDispatcher::TokenDispatcher(Backend& backend, Communicator& experts, Stream& compute,
                                 Stream& exchange, const DispatcherSizes& sizes)
    : backend_(backend), experts_(experts), compute_(compute), exchange_(exchange), sizes_(sizes) {
  const auto make_slot = [&] {
    return Slot{backend_.allocate_tensor(DType::kF32, {sizes_.max_rows, sizes_.hidden_size}),
                backend_.allocate_tensor(DType::kI32, {sizes_.max_rows})};
  };
  for (Slot& slot : send_) slot = make_slot();
  for (Slot& slot : recv_) slot = make_slot();
  token_index_ = backend_.allocate_tensor(DType::kI32, {sizes_.max_rows});
}

std::vector<WarmUpPhase> TokenDispatcher::warm_up_phases(int64_t num_counts) {
  const auto gather_counts = [this, num_counts](const CollectiveLabel& label) {
    const std::vector<int32_t> mine(static_cast<size_t>(num_counts));
    std::vector<int32_t> gathered(mine.size() * static_cast<size_t>(size()));
    experts_.all_gather(exchange_, mine.data(), gathered.data(),
                        num_counts * int64_t{sizeof(int32_t)}, label);
    backend_.record(exchange_).synchronize();
  };
  // Rounds enough to use every buffer, with as many rows to each rank.
  const std::vector<int64_t> rows(static_cast<size_t>(size()), sizes_.max_rows / size());
  const auto send_rounds = [this, rows](const CollectiveLabel& label) {
    for (int round = 0; round < kSendBuffers; ++round) {
      exchange(send_[slot_of(round, kSendBuffers)], recv_[slot_of(round, kRecvBuffers)], rows, rows,
               label);
    }
    backend_.record(exchange_).synchronize();
  };
  const auto return_rounds = [this, rows](const CollectiveLabel& label) {
    for (int round = 0; round < kSendBuffers; ++round) {
      exchange(recv_[slot_of(round, kRecvBuffers)], send_[slot_of(round, kSendBuffers)], rows, rows,
               label);
    }
    backend_.record(exchange_).synchronize();
  };
  return {{"counts", gather_counts}, {"dispatch", send_rounds}, {"combine", return_rounds}};
}

std::optional<PaddedBuffers> TokenDispatcher::padded_buffers() const {
  return PaddedBuffers{send_[0].rows.view(), recv_[0].rows.view(), send_[0].index.view(),
                       recv_[0].index.view()};
}

DispatchPlan TokenDispatcher::plan(const LayerPlacement& placement,
                                   std::span<const int32_t> instances, int64_t top_k,
                                   const std::vector<int64_t>& max_experts,
                                   const CollectiveLabel& label, const RowForecast* forecast) {
  return gather_plan({backend_, experts_, exchange_, label}, placement, instances, top_k,
                     {sizes_.max_rows, max_experts}, forecast);
}

TensorView TokenDispatcher::upload(const Slot& slot, const std::vector<int32_t>& index) {
  const TensorView view = slot.index.view().rows(0, static_cast<int64_t>(index.size()));
  backend_.copy_to_device(compute_, index.data(), view);
  return view;
}

TensorView TokenDispatcher::arrived_rows(int round) const {
  return size() == 1 ? send_[slot_of(round, kSendBuffers)].rows.view()
                     : recv_[slot_of(round, kRecvBuffers)].rows.view();
}

Event TokenDispatcher::exchange(const Slot& from, const Slot& to,
                                const std::vector<int64_t>& send_rows,
                                const std::vector<int64_t>& recv_rows,
                                const CollectiveLabel& label) {
  if (size() == 1) return backend_.record(compute_);
  backend_.wait(exchange_, backend_.record(compute_));
  const int64_t row_bytes = sizes_.hidden_size * int64_t{sizeof(float)};
  experts_.all_to_all_v(
      exchange_, {from.rows.view().data, to.rows.view().data, row_bytes, send_rows, recv_rows},
      label);
  return backend_.record(exchange_);
}

void TokenDispatcher::dispatch(const DispatchPlan& plan, int round_number, const TensorView& x,
                               CollectiveLabel label) {
  const DispatchRound& round = plan.rounds[static_cast<size_t>(round_number)];
  const Slot& send = send_[slot_of(round_number, kSendBuffers)];
  const Slot& recv = recv_[slot_of(round_number, kRecvBuffers)];
  if (round.num_sent() > 0) {
    const TensorView index = token_index_.view().rows(0, round.num_sent());
    backend_.copy_to_device(compute_, round.sent_tokens.data(), index);
    backend_.gather_rows(compute_, {x, index, send.rows.view().rows(0, round.num_sent())});
  }
  label.round = round_number;
  arrived_[slot_of(round_number, kSendBuffers)] =
      exchange(send, recv, round.send_rows, round.recv_rows, label);
}

void TokenDispatcher::receive(const DispatchPlan& plan, int round_number,
                              const TensorView& grouped) {
  const DispatchRound& round = plan.rounds[static_cast<size_t>(round_number)];
  backend_.wait(compute_, arrived_[slot_of(round_number, kSendBuffers)]);
  if (round.num_received() == 0) return;
  const Slot& recv = recv_[slot_of(round_number, kRecvBuffers)];
  const TensorView index = upload(recv, round.grouped_from);
  backend_.gather_rows(compute_,
                       {arrived_rows(round_number), index, grouped.rows(0, round.num_received())});
}

void TokenDispatcher::give_back(const DispatchPlan& plan, int round_number,
                                const TensorView& grouped, CollectiveLabel label) {
  const DispatchRound& round = plan.rounds[static_cast<size_t>(round_number)];
  const Slot& send = send_[slot_of(round_number, kSendBuffers)];
  const Slot& recv = recv_[slot_of(round_number, kRecvBuffers)];
  if (round.num_received() > 0) {
    const TensorView index = recv.index.view().rows(0, round.num_received());
    backend_.scatter_rows(
        compute_, {grouped.rows(0, round.num_received()), index, arrived_rows(round_number)});
  }
  label.round = round_number;
  returned_[slot_of(round_number, kSendBuffers)] =
      exchange(recv, send, round.recv_rows, round.send_rows, label);
}

void TokenDispatcher::take_back(const DispatchPlan& plan, int round_number,
                                const TensorView& expert_rows) {
  const DispatchRound& round = plan.rounds[static_cast<size_t>(round_number)];
  backend_.wait(compute_, returned_[slot_of(round_number, kSendBuffers)]);
  if (round.num_sent() == 0) return;
  const Slot& send = send_[slot_of(round_number, kSendBuffers)];
  const TensorView index = upload(send, round.sent_copies);
  backend_.scatter_rows(compute_, {send.rows.view().rows(0, round.num_sent()), index, expert_rows});
}

}  // namespace switchyard
