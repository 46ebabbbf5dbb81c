// Packed experts in host memory, behind the slots of the device.
#pragma once

#include <cstdint>
#include <list>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"

namespace switchyard {

/// Copies of packed experts. A copy that is being read or written is pinned and stays. Thread-safe.
class HostTier {
 public:
  /// Whether a full tier gives up the copy that was used longest ago for a new one. A sweep over
  /// more experts than fit would give up each copy just before it is needed again: then what is
  /// there had better stay.
  enum class WhenFull : uint8_t { kReplaceOldest, kKeep };

  /// Room for `num_slots` copies of `slot_bytes` bytes each, in host memory that `backend` reaches
  /// fast; 0: an empty tier. The backend must outlive it. Throws Error(kResource).
  HostTier(int64_t num_slots, int64_t slot_bytes, Backend& backend);

  int64_t num_slots() const { return num_slots_; }
  int64_t bytes() const { return memory_.bytes(); }

  /// The copy of an expert, pinned; null if there is none.
  const char* find(int64_t expert);
  /// Room for a copy of an expert that has none, pinned; null if there is no room.
  char* reserve(int64_t expert, WhenFull when_full);
  /// The copy in what reserve() gave is complete; find() gives it from now on. Unpins.
  void commit(int64_t expert);
  /// Gives back what reserve() gave.
  void abandon(int64_t expert);
  /// Ends a use that find() began.
  void unpin(int64_t expert);

 private:
  struct Copy {
    char* data = nullptr;
    int pins = 0;
    bool is_complete = false;
    std::list<int64_t>::iterator age;  // in ages_
  };

  char* take_oldest();

  const int64_t num_slots_;
  HostBuffer memory_;
  std::mutex mutex_;
  std::vector<char*> free_;
  std::unordered_map<int64_t, Copy> copies_;
  std::list<int64_t> ages_;  // experts, the one used longest ago first
};

}  // namespace switchyard
