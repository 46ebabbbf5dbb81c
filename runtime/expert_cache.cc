#include "runtime/expert_cache.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/steady_seconds.h"

namespace switchyard {
namespace {

std::vector<int64_t> layer_sizes(const std::vector<ExpertLayer>& layers) {
  std::vector<int64_t> sizes;
  for (const ExpertLayer& layer : layers) sizes.push_back(layer.num_local_experts());
  return sizes;
}

EvictionPolicy make_policy(const ExpertCacheParts& parts) {
  std::vector<int64_t> uses;
  if (parts.options.policy == CachePolicy::kStatic) {
    for (const std::vector<int64_t>& of_layer : parts.earlier_uses) {
      uses.insert(uses.end(), of_layer.begin(), of_layer.end());
    }
  }
  return {parts.options.policy, parts.sizes.num_experts, std::move(uses)};
}

/// The first address from `pointer` on at which a slot may begin: direct reads go straight into it.
char* align_pointer(void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const auto over = address % static_cast<uintptr_t>(kDirectBlock);
  char* const bytes = static_cast<char*>(pointer);
  return over == 0 ? bytes : bytes + (static_cast<uintptr_t>(kDirectBlock) - over);
}

}  // namespace

ExpertCache::ExpertCache(ExpertCacheParts parts)
    : p_(std::move(parts)),
      table_(layer_sizes(p_.layers), p_.sizes.num_slots, p_.options.scope, make_policy(p_)),
      memory_(p_.backend.allocate(p_.sizes.device_bytes + kDirectBlock)),
      slots_(static_cast<size_t>(p_.sizes.num_slots)),
      host_tier_(p_.sizes.host_slots, p_.sizes.slot_bytes, p_.backend),
      rounds_left_(static_cast<size_t>(p_.sizes.num_experts), 0),
      last_needed_(p_.layers.size()),
      start_time_(steady_seconds()),
      gaps_(p_.layers.size(), 0.0) {
  char* next = align_pointer(memory_.data());
  for (int64_t slot = 0; slot < p_.sizes.num_slots; ++slot) {
    slots_[static_cast<size_t>(slot)].base = next;
    // Resident experts take the slots in their order, each in one of its own size.
    next += p_.sizes.is_resident() ? whole_blocks(expert_slot_bytes(shape_of(slot), p_.backend))
                                   : p_.sizes.slot_bytes;
  }
  stats_.policy = p_.options.policy;
  stats_.scope = p_.options.scope;
  stats_.num_slots = p_.sizes.num_slots;
  stats_.slot_bytes = p_.sizes.slot_bytes;
  stats_.budget_bytes = p_.sizes.device_bytes;
  stats_.host_slots = p_.sizes.host_slots;
  for (const ExpertLayer& layer : p_.layers) {
    stats_.expert_ids.push_back(layer.ids);
    stats_.experts.emplace_back(layer.ids.size());
  }
  loader_ = std::make_unique<ExpertLoader>(ExpertLoaderParts{p_.checkpoint, p_.sources, p_.backend,
                                                             host_tier_, p_.sizes.load_threads,
                                                             p_.caching, p_.trace});
}

ExpertAccount& ExpertCache::account_of(int64_t expert) {
  const auto layer = static_cast<size_t>(table_.layer_of(expert));
  return stats_
      .experts[layer][static_cast<size_t>(expert - table_.first_of(table_.layer_of(expert)))];
}

const ExpertShape& ExpertCache::shape_of(int64_t expert) const {
  const int64_t layer = table_.layer_of(expert);
  return p_.layers[static_cast<size_t>(layer)]
      .experts[static_cast<size_t>(expert - table_.first_of(layer))];
}

void ExpertCache::fill(ProgressSink* progress) {
  Progress done;
  done.activity = "loading experts,";
  const std::vector<int64_t> experts = table_.first_experts();
  done.total_bytes = 0;
  for (const int64_t expert : experts) {
    done.total_bytes += expert_slot_bytes(shape_of(expert), p_.backend);
  }
  if (progress != nullptr) progress->start();
  for (const int64_t expert : experts) {
    // A resident expert's slot has its number.
    const int64_t slot = p_.sizes.is_resident() ? expert : table_.find_slot(expert);
    start_load(expert, slot, LoadUrgency::kNeeded);
  }
  for (const int64_t expert : experts) {
    loader_->wait(*slots_[static_cast<size_t>(table_.slot_of(expert))].load);
    table_.set_filled(table_.slot_of(expert));
    done.bytes_done += expert_slot_bytes(shape_of(expert), p_.backend);
    if (progress != nullptr) progress->update(done);
  }
}

void ExpertCache::start_load(int64_t expert, int64_t slot_number, LoadUrgency urgency) {
  const bool is_ahead = urgency == LoadUrgency::kAhead;
  const bool was_unused = table_.is_unused(slot_number);
  const int64_t before =
      table_.give(slot_number, expert, is_ahead ? SlotPurpose::kAhead : SlotPurpose::kNeeded);
  if (before != SlotTable::kNone && was_unused) {
    stats_.predictions.wasted_bytes += expert_slot_bytes(shape_of(before), p_.backend);
    judge_.record(false);
  }
  ExpertAccount& account = account_of(expert);
  ++account.loads;
  account.prefetches += is_ahead ? 1 : 0;
  Slot& slot = slots_[static_cast<size_t>(slot_number)];
  const int64_t layer = table_.layer_of(expert);
  const ExpertShape& shape = shape_of(expert);
  slot.load = std::make_shared<ExpertLoad>();
  slot.load->number = expert;
  slot.load->id = {static_cast<int>(layer),
                   p_.layers[static_cast<size_t>(layer)]
                       .ids[static_cast<size_t>(expert - table_.first_of(layer))]};
  slot.load->slot = expert_slot(shape, p_.backend, slot.base);
  slot.load->bytes = {slot.base, DType::kU8, {expert_slot_bytes(shape, p_.backend)}};
  slot.load->reusable = slot.last_use;
  slot.load_order = ++next_order_;
  loader_->start(slot.load, urgency);
}

void ExpertCache::begin_layer(const LayerUse& use) {
  current_layer_ = use.moe_layer;
  std::vector<int64_t> needed;
  for (const std::span<const int64_t> round : use.rounds) {
    for (const int64_t local : round) {
      const int64_t expert = number_of(use.moe_layer, local);
      if (rounds_left_[static_cast<size_t>(expert)]++ == 0) {
        needed.push_back(expert);
        table_.pin(expert);
      }
    }
  }
  ++stats_.layers_run;
  count_prediction(use.moe_layer, needed);
  count_use(use, needed);
  ahead_.clear();
  if (p_.sizes.is_resident()) return;
  drop_unneeded_loads();
  table_.set_regime(choose_regime(use.moe_layer, needed.size()));
  const bool is_sweep = table_.regime() == SlotRegime::kSweep;
  stats_.sweeps += is_sweep ? 1 : 0;
  loader_->set_host_tier_policy(is_sweep ? HostTier::WhenFull::kKeep
                                         : HostTier::WhenFull::kReplaceOldest);
  wanted_.clear();
  for (const int64_t expert : needed) {
    const int64_t slot = table_.slot_of(expert);
    if (slot == SlotTable::kNone) {
      wanted_.push_back(expert);
    } else if (!table_.is_filled(slot)) {
      loader_->promote(*slots_[static_cast<size_t>(slot)].load);
    }
  }
  if (layer_end_ > 0.0) {
    gaps_[static_cast<size_t>(use.moe_layer)] = steady_seconds() - layer_end_;
  }
  if (is_sweep) {
    adapt_streaming();
    look_ahead(use.moe_layer, needed.size());
  }
  last_needed_[static_cast<size_t>(use.moe_layer)] = std::move(needed);
  start_loads();
}

void ExpertCache::count_prediction(int moe_layer, const std::vector<int64_t>& needed) {
  if (ahead_layer_ != moe_layer) return;
  for (const int64_t expert : predicted_) {
    const bool is_needed = rounds_left_[static_cast<size_t>(expert)] > 0;
    ++stats_.predictions.predicted;
    stats_.predictions.correct += is_needed ? 1 : 0;
  }
  if (!predicted_.empty()) stats_.predictions.used += static_cast<int64_t>(needed.size());
  predicted_.clear();
}

void ExpertCache::count_use(const LayerUse& use, const std::vector<int64_t>& needed) {
  std::vector<int64_t> ascending = needed;
  std::ranges::sort(ascending);
  const int64_t first = table_.first_of(use.moe_layer);
  for (const int64_t expert : ascending) {
    table_.record_use(expert);
    ExpertAccount& account = account_of(expert);
    ++account.uses;
    account.rows += use.rows[static_cast<size_t>(expert - first)];
    const int64_t slot = table_.slot_of(expert);
    if (slot == SlotTable::kNone) continue;
    ++account.hits;
    if (!table_.is_unused(slot)) continue;
    ++account.prefetch_hits;
    judge_.record(true);
  }
  if (stats_.log.size() + ascending.size() + 2 > CacheStats::kMaxLoggedUses) return;
  stats_.log.push_back(use.moe_layer);
  stats_.log.push_back(static_cast<int32_t>(ascending.size()));
  for (const int64_t expert : ascending) stats_.log.push_back(static_cast<int32_t>(expert - first));
}

void ExpertCache::drop_unneeded_loads() {
  for (const int64_t expert : expected_) {
    table_.expect(expert, false);
    const int64_t slot = table_.slot_of(expert);
    if (slot == SlotTable::kNone || table_.is_filled(slot) || table_.is_pinned(expert)) continue;
    if (!loader_->cancel(*slots_[static_cast<size_t>(slot)].load)) continue;
    ExpertAccount& account = account_of(expert);
    --account.loads;
    --account.prefetches;
    table_.clear(slot);
  }
  expected_.clear();
  ahead_layer_ = -1;
}

void ExpertCache::expect_all(const std::vector<int64_t>& experts) {
  expected_ = experts;
  for (const int64_t expert : experts) {
    table_.expect(expert, true);
    if (table_.slot_of(expert) == SlotTable::kNone) ahead_.push_back(expert);
  }
}

SlotRegime ExpertCache::choose_regime(int moe_layer, size_t needed) {
  const auto now = static_cast<int64_t>(needed);
  const int64_t experts = table_.first_of(moe_layer + 1) - table_.first_of(moe_layer);
  // What a step needs of all layers that share the slots, if the others are like this one.
  const bool is_shared = p_.options.scope == CacheScope::kGlobal;
  const int64_t of_step = is_shared ? now * table_.num_layers() : now;
  const bool is_most = 2 * now >= experts;
  return is_most && of_step > table_.slots_of_layer(moe_layer) ? SlotRegime::kSweep
                                                               : SlotRegime::kCached;
}

void ExpertCache::adapt_streaming() {
  const CacheStats traffic = loader_->traffic();
  const int64_t loads = traffic.files.loads + traffic.host.loads;
  if (loads == 0) return;
  const double load_seconds =
      (traffic.files.seconds + traffic.host.seconds) / static_cast<double>(loads);
  const double longest = *std::ranges::max_element(gaps_);
  // Two more: the ones that are filled and computed with when the gap begins.
  table_.set_streaming(static_cast<int64_t>(
      std::min(longest / load_seconds + 2.0, static_cast<double>(table_.num_slots()))));
}

void ExpertCache::look_ahead(int moe_layer, size_t needed) {
  if (p_.options.prefetch == Prefetch::kOff || table_.num_layers() < 2) return;
  const auto next = static_cast<int>((moe_layer + 1) % table_.num_layers());
  const int64_t experts = table_.first_of(moe_layer + 1) - table_.first_of(moe_layer);
  const bool is_nearly_all = 10 * static_cast<int64_t>(needed) >= 9 * experts;
  std::vector<int64_t> likely = last_needed_[static_cast<size_t>(next)];
  if (likely.empty()) {
    if (!is_nearly_all) return;
    likely.resize(static_cast<size_t>(table_.first_of(next + 1) - table_.first_of(next)));
    std::iota(likely.begin(), likely.end(), table_.first_of(next));
  }
  ahead_layer_ = next;
  expect_all(likely);
}

void ExpertCache::expect(int moe_layer, std::span<const int64_t> experts) {
  if (p_.sizes.is_resident() || p_.options.prefetch == Prefetch::kOff) return;
  if (table_.regime() == SlotRegime::kSweep) return;  // which looks ahead by itself
  ahead_layer_ = moe_layer;
  predicted_.clear();
  for (const int64_t local : experts) predicted_.push_back(number_of(moe_layer, local));
  if (p_.options.prefetch == Prefetch::kAuto && !judge_.may_prefetch(busy_part())) return;
  expect_all(predicted_);
  start_loads();
}

double ExpertCache::busy_part() const {
  const CacheStats traffic = loader_->traffic();
  return (traffic.files.seconds + traffic.host.seconds) /
         std::max(steady_seconds() - start_time_, 1e-9);
}

int64_t ExpertCache::ahead_bytes() const {
  int64_t bytes = 0;
  for (int64_t slot = 0; slot < table_.num_slots(); ++slot) {
    bytes += table_.is_unused(slot) ? p_.sizes.slot_bytes : 0;
  }
  return bytes;
}

void ExpertCache::start_loads() {
  for (int64_t slot = 0; slot < table_.num_slots(); ++slot) {
    const int64_t expert = table_.expert_in(slot);
    if (expert != SlotTable::kNone && !table_.is_filled(slot)) is_ready(expert);
  }
  while (!wanted_.empty()) {
    const int64_t slot = table_.find_slot(wanted_.front());
    if (slot == SlotTable::kNone) return;
    start_load(wanted_.front(), slot, LoadUrgency::kNeeded);
    wanted_.pop_front();
  }
  const bool is_sweep = table_.regime() == SlotRegime::kSweep;
  const int64_t budget =
      p_.options.prefetch_budget.value_or(std::max(p_.sizes.device_bytes / 4, p_.sizes.slot_bytes));
  while (!ahead_.empty()) {
    if (!is_sweep && ahead_bytes() + p_.sizes.slot_bytes > budget) return;
    const int64_t slot = table_.find_slot(ahead_.front());
    if (slot == SlotTable::kNone) return;
    start_load(ahead_.front(), slot, LoadUrgency::kAhead);
    ahead_.pop_front();
  }
}

std::vector<int64_t> ExpertCache::begin_round(std::span<const int64_t> experts) {
  const auto order_of = [this](int64_t local) -> int64_t {
    const int64_t expert = number_of(current_layer_, local);
    if (is_ready(expert)) return 0;
    const int64_t slot = table_.slot_of(expert);
    return slot == SlotTable::kNone ? next_order_ + 1
                                    : slots_[static_cast<size_t>(slot)].load_order;
  };
  std::vector<int64_t> order(experts.begin(), experts.end());
  std::vector<std::pair<int64_t, int64_t>> ranked;
  for (const int64_t local : order) ranked.emplace_back(order_of(local), local);
  std::ranges::stable_sort(ranked, {}, &std::pair<int64_t, int64_t>::first);
  std::ranges::transform(ranked, order.begin(), &std::pair<int64_t, int64_t>::second);
  // What this round waits for is loaded before what later rounds do, in the order just told.
  const auto is_of_round = [&](int64_t expert) {
    return std::ranges::binary_search(experts, expert - table_.first_of(current_layer_));
  };
  std::ranges::sort(wanted_);
  std::stable_partition(wanted_.begin(), wanted_.end(), is_of_round);
  return order;
}

bool ExpertCache::is_ready(int64_t expert) {
  const int64_t slot = table_.slot_of(expert);
  if (slot == SlotTable::kNone) return false;
  if (table_.is_filled(slot)) return true;
  const ExpertLoad& load = *slots_[static_cast<size_t>(slot)].load;
  if (!loader_->is_done(load)) return false;
  // A load that failed stays unfilled: whoever needs it learns why when it waits.
  if (load.error != nullptr) return false;
  table_.set_filled(slot);
  return true;
}

void ExpertCache::force_slot(int64_t expert, std::span<const int64_t> round) {
  std::vector<int64_t> kept;
  for (const int64_t local : round) kept.push_back(number_of(current_layer_, local));
  int64_t slot = table_.find_slot_by_force(expert, kept);
  if (slot == SlotTable::kNone) {
    // All slots are being filled, with experts of a layer to come.
    for (int64_t other = 0; other < table_.num_slots(); ++other) {
      const int64_t loading = table_.expert_in(other);
      if (loading != SlotTable::kNone && !table_.is_filled(other)) wait_for(loading);
    }
    slot = table_.find_slot_by_force(expert, kept);
  }
  SWITCHYARD_CHECK(slot != SlotTable::kNone, "no slot for expert ", expert);
  const int64_t victim = table_.expert_in(slot);
  if (victim != SlotTable::kNone && table_.is_pinned(victim)) {
    wanted_.push_back(victim);  // a later round of this layer loads it again
  }
  std::erase(wanted_, expert);
  start_load(expert, slot, LoadUrgency::kNeeded);
}

void ExpertCache::wait_for(int64_t expert) {
  if (is_ready(expert)) return;
  const double begin = steady_seconds();
  const int64_t slot = table_.slot_of(expert);
  loader_->wait(*slots_[static_cast<size_t>(slot)].load);
  table_.set_filled(slot);
  const double end = steady_seconds();
  stats_.stall_seconds += end - begin;
  if (p_.trace == nullptr) return;
  const int64_t layer = table_.layer_of(expert);
  const ExpertId id = slots_[static_cast<size_t>(slot)].load->id;
  p_.trace->add({TraceTrack::kWait, 0, "wait", begin, end,
                 p_.checkpoint.config.moe_layers()[static_cast<size_t>(layer)], id.expert, 0});
}

std::vector<ExpertWeights> ExpertCache::acquire(std::span<const int64_t> experts) {
  const int64_t first = number_of(current_layer_, experts.front());
  if (table_.slot_of(first) == SlotTable::kNone) start_loads();
  if (table_.slot_of(first) == SlotTable::kNone) force_slot(first, experts);
  wait_for(first);
  std::vector<ExpertWeights> ready;
  // Slots that take turns are given back early, so that loading never waits for computing.
  int64_t streaming_left = std::max<int64_t>(1, table_.streaming_limit(current_layer_) / 4);
  for (const int64_t local : experts) {
    const int64_t expert = number_of(current_layer_, local);
    if (!is_ready(expert)) break;
    const int64_t slot = table_.slot_of(expert);
    if (!p_.sizes.is_resident() && table_.is_streaming(slot) && streaming_left-- == 0) break;
    ready.push_back(
        expert_slot(shape_of(expert), p_.backend, slots_[static_cast<size_t>(slot)].base));
  }
  return ready;
}

void ExpertCache::release(std::span<const int64_t> experts, size_t count) {
  const Event done = p_.backend.record(p_.compute);
  for (const int64_t local : experts.first(count)) {
    const int64_t expert = number_of(current_layer_, local);
    const int64_t slot = table_.slot_of(expert);
    slots_[static_cast<size_t>(slot)].last_use = done;
    table_.set_used(slot);
    if (--rounds_left_[static_cast<size_t>(expert)] == 0) table_.unpin(expert);
  }
  if (p_.sizes.is_resident()) return;
  layer_end_ = steady_seconds();
  start_loads();
}

std::vector<ExpertWeights> ExpertCache::resident_experts(int moe_layer) const {
  SWITCHYARD_CHECK(p_.sizes.is_resident());
  std::vector<ExpertWeights> experts;
  for (int64_t expert = table_.first_of(moe_layer); expert < table_.first_of(moe_layer + 1);
       ++expert) {
    // A resident expert's slot has its number.
    experts.push_back(
        expert_slot(shape_of(expert), p_.backend, slots_[static_cast<size_t>(expert)].base));
  }
  return experts;
}

void ExpertCache::count_rows(int moe_layer, const std::vector<int64_t>& rows) {
  std::vector<int64_t> needed;
  for (size_t local = 0; local < rows.size(); ++local) {
    if (rows[local] > 0) needed.push_back(number_of(moe_layer, static_cast<int64_t>(local)));
  }
  ++stats_.layers_run;
  count_use({moe_layer, {}, rows}, needed);
}

CacheStats ExpertCache::stats() const {
  CacheStats stats = stats_;
  const CacheStats traffic = loader_->traffic();
  stats.files = traffic.files;
  stats.host = traffic.host;
  stats.pack_seconds = traffic.pack_seconds;
  stats.predictions.times_switched_off = judge_.times_switched_off();
  return stats;
}

}  // namespace switchyard
