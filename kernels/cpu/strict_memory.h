// Memory that behaves like a device's: host code that touches it dies.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <mutex>

namespace switchyard {

/// What fresh and freed memory is filled with. A signalling NaN as fp32, NaN in both halves as
/// fp16 and bf16, and 2,143,256,511 as int32: no valid index.
inline constexpr uint32_t kStrictPoison = 0x7FBF7FBFu;

/// Two reserved address ranges of one size: blocks have addresses in the first, the view, which
/// nobody may touch; their bytes lie at the same offset of the second, the storage. First fit over
/// a free list, with a poisoned guard behind each block that free() checks. Thread-safe.
class StrictMemory {
 public:
  /// Reserves up to kReserve bytes of address space, less where the system refuses; no memory is
  /// used before it is allocated. Throws Error(kResource).
  StrictMemory();
  ~StrictMemory();
  StrictMemory(const StrictMemory&) = delete;
  StrictMemory& operator=(const StrictMemory&) = delete;

  /// A view address, aligned to 64 bytes, of poisoned memory. Throws Error(kResource).
  void* allocate(int64_t bytes);
  /// Poisons the block and keeps it out of use until kQuarantine bytes were freed after it. Ends
  /// the process if the block's guard was written to or the block is not one.
  void free(void* view);

  /// True for addresses of the view, allocated or not.
  bool contains(const void* pointer) const;
  /// True if the bytes lie in one allocated block.
  bool is_allocated(const void* view, int64_t bytes) const;
  /// The storage behind a view address.
  void* storage(const void* view) const;

  /// Address space of one instance. Tests run 64 instances in a process, and the thread sanitizer
  /// leaves about 1.5 TiB: 64 x 2 x 4 GiB = 512 GiB.
  static constexpr int64_t kReserve = int64_t{4} << 30;
  static constexpr int64_t kQuarantine = int64_t{4} << 20;

 private:
  /// Offsets of the allocator; the size counts the guard.
  struct Block {
    int64_t offset = 0;
    int64_t size = 0;
  };

  int64_t offset_of(const void* view) const;
  int64_t take_free(int64_t size);
  void release_oldest();
  void give_back_pages(const Block& freed, const Block& gap);
  void fill_poison(int64_t offset, int64_t size);
  void check_guard(int64_t offset, int64_t bytes, int64_t size) const;

  int64_t reserve_ = 0;
  char* view_ = nullptr;
  char* storage_ = nullptr;
  mutable std::mutex mutex_;
  std::map<int64_t, int64_t> free_;       // offset -> size, no two adjacent
  std::map<int64_t, int64_t> allocated_;  // offset -> bytes asked for
  std::deque<Block> quarantine_;          // oldest first
  int64_t quarantined_ = 0;               // bytes in it
};

}  // namespace switchyard
