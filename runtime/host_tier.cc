#include "runtime/host_tier.h"

#include "kernels/base/error.h"

namespace switchyard {

HostTier::HostTier(int64_t num_slots, int64_t slot_bytes, Backend& backend)
    : num_slots_(num_slots), memory_(backend.allocate_host(num_slots * slot_bytes)) {
  for (int64_t slot = num_slots - 1; slot >= 0; --slot) {
    free_.push_back(static_cast<char*>(memory_.data()) + slot * slot_bytes);
  }
}

const char* HostTier::find(int64_t expert) {
  const std::lock_guard lock(mutex_);
  const auto found = copies_.find(expert);
  if (found == copies_.end() || !found->second.is_complete) return nullptr;
  ++found->second.pins;
  ages_.splice(ages_.end(), ages_, found->second.age);
  return found->second.data;
}

char* HostTier::take_oldest() {
  for (const int64_t expert : ages_) {
    const auto copy = copies_.find(expert);
    if (copy->second.pins > 0) continue;
    char* const data = copy->second.data;
    ages_.erase(copy->second.age);
    copies_.erase(copy);
    return data;
  }
  return nullptr;
}

char* HostTier::reserve(int64_t expert, WhenFull when_full) {
  const std::lock_guard lock(mutex_);
  if (copies_.contains(expert)) return nullptr;
  char* data = nullptr;
  if (!free_.empty()) {
    data = free_.back();
    free_.pop_back();
  } else if (when_full == WhenFull::kReplaceOldest) {
    data = take_oldest();
  }
  if (data == nullptr) return nullptr;
  copies_[expert] = {data, 1, false, ages_.insert(ages_.end(), expert)};
  return data;
}

void HostTier::commit(int64_t expert) {
  const std::lock_guard lock(mutex_);
  Copy& copy = copies_.at(expert);
  copy.is_complete = true;
  --copy.pins;
}

void HostTier::abandon(int64_t expert) {
  const std::lock_guard lock(mutex_);
  const auto copy = copies_.find(expert);
  SWITCHYARD_CHECK(copy != copies_.end() && !copy->second.is_complete);
  free_.push_back(copy->second.data);
  ages_.erase(copy->second.age);
  copies_.erase(copy);
}

void HostTier::unpin(int64_t expert) {
  const std::lock_guard lock(mutex_);
  --copies_.at(expert).pins;
}

}  // namespace switchyard
