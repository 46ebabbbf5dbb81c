#include "kernels/cpu/strict_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include "kernels/base/error.h"
#include "kernels/base/log.h"

namespace switchyard {
namespace {

constexpr int64_t kAlignment = 64;
// At least one guard word behind every block; 64 bytes keep the alignment and catch a vector store.
constexpr int64_t kGuard = 64;
// Below this a reserve serves no test.
constexpr int64_t kSmallestReserve = int64_t{64} << 20;

int64_t block_size(int64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment + kGuard;
}

char* reserve_range(int64_t bytes, int protection) {
  void* range = mmap(nullptr, static_cast<size_t>(bytes), protection,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return range == MAP_FAILED ? nullptr : static_cast<char*>(range);
}

void unreserve_range(char* range, int64_t bytes) {
  if (range != nullptr) munmap(range, static_cast<size_t>(bytes));
}

// Used where the caller is a destructor, so an exception would lose the message.
[[noreturn]] void die(const std::string& message) {
  log_line(LogLevel::kError, message);
  std::abort();
}

}  // namespace

StrictMemory::StrictMemory() {
  for (reserve_ = kReserve; reserve_ >= kSmallestReserve; reserve_ /= 2) {
    view_ = reserve_range(reserve_, PROT_NONE);
    storage_ = reserve_range(reserve_, PROT_READ | PROT_WRITE);
    if (view_ != nullptr && storage_ != nullptr) break;
    unreserve_range(view_, reserve_);
    unreserve_range(storage_, reserve_);
  }
  if (reserve_ < kSmallestReserve) {
    fail_resource("the strict backend cannot reserve 2 x ", kSmallestReserve,
                  " bytes of address space; raise the limit (ulimit -v) or use the cpu backend");
  }
  free_[0] = reserve_;
}

StrictMemory::~StrictMemory() {
  unreserve_range(view_, reserve_);
  unreserve_range(storage_, reserve_);
}

void* StrictMemory::allocate(int64_t bytes) {
  SWITCHYARD_CHECK(bytes >= 0, "allocation of ", bytes, " bytes");
  if (bytes > reserve_ - kGuard) {
    fail_resource("the strict backend holds ", reserve_, " bytes, asked for ", bytes);
  }
  const std::lock_guard lock(mutex_);
  const int64_t size = block_size(bytes);
  int64_t offset = take_free(size);
  while (offset < 0 && !quarantine_.empty()) {
    release_oldest();
    offset = take_free(size);
  }
  if (offset < 0) {
    fail_resource("the strict backend has no gap of ", bytes, " bytes left of its ", reserve_,
                  " bytes; use the cpu backend for models of this size");
  }
  allocated_[offset] = bytes;
  fill_poison(offset, size);
  return view_ + offset;
}

void StrictMemory::free(void* view) {
  const std::lock_guard lock(mutex_);
  const int64_t offset = offset_of(view);
  const auto block = allocated_.find(offset);
  if (block == allocated_.end()) die("the strict backend frees a block that is not allocated");
  const int64_t size = block_size(block->second);
  check_guard(offset, block->second, size);
  allocated_.erase(block);
  fill_poison(offset, size);
  quarantine_.push_back({offset, size});
  quarantined_ += size;
  while (quarantined_ > kQuarantine) release_oldest();
}

bool StrictMemory::contains(const void* pointer) const {
  const auto address = reinterpret_cast<uintptr_t>(pointer);
  const auto begin = reinterpret_cast<uintptr_t>(view_);
  return address >= begin && address - begin < static_cast<uintptr_t>(reserve_);
}

bool StrictMemory::is_allocated(const void* view, int64_t bytes) const {
  if (!contains(view)) return false;
  const std::lock_guard lock(mutex_);
  const int64_t offset = offset_of(view);
  auto block = allocated_.upper_bound(offset);
  if (block == allocated_.begin()) return false;
  --block;
  return offset + bytes <= block->first + block->second;
}

void* StrictMemory::storage(const void* view) const { return storage_ + offset_of(view); }

int64_t StrictMemory::offset_of(const void* view) const {
  return static_cast<int64_t>(reinterpret_cast<uintptr_t>(view) -
                              reinterpret_cast<uintptr_t>(view_));
}

// The offset of `size` bytes cut from the first gap that holds them, or -1.
int64_t StrictMemory::take_free(int64_t size) {
  const auto gap = std::find_if(free_.begin(), free_.end(),
                                [size](const auto& entry) { return entry.second >= size; });
  if (gap == free_.end()) return -1;
  const int64_t offset = gap->first;
  const int64_t rest = gap->second - size;
  free_.erase(gap);
  if (rest > 0) free_[offset + size] = rest;
  return offset;
}

void StrictMemory::release_oldest() {
  const Block freed = quarantine_.front();
  quarantine_.pop_front();
  quarantined_ -= freed.size;
  Block gap = freed;
  auto next = free_.lower_bound(freed.offset);
  if (next != free_.end() && next->first == freed.offset + freed.size) {
    gap.size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == freed.offset) {
      gap = {before->first, before->second + gap.size};
      free_.erase(before);
    }
  }
  free_[gap.offset] = gap.size;
  give_back_pages(freed, gap);
}

// Gives the system those pages of the freed block that lie wholly in the gap around it.
void StrictMemory::give_back_pages(const Block& freed, const Block& gap) {
  const int64_t page = sysconf(_SC_PAGESIZE);
  const auto down = [page](int64_t offset) { return offset / page * page; };
  const auto up = [page](int64_t offset) { return (offset + page - 1) / page * page; };
  const int64_t begin = std::max(up(gap.offset), down(freed.offset));
  const int64_t end = std::min(down(gap.offset + gap.size), up(freed.offset + freed.size));
  if (begin < end) madvise(storage_ + begin, static_cast<size_t>(end - begin), MADV_DONTNEED);
}

void StrictMemory::fill_poison(int64_t offset, int64_t size) {
  auto* words = reinterpret_cast<uint32_t*>(storage_ + offset);
  std::fill_n(words, size / static_cast<int64_t>(sizeof(uint32_t)), kStrictPoison);
}

void StrictMemory::check_guard(int64_t offset, int64_t bytes, int64_t size) const {
  for (int64_t i = bytes; i < size; ++i) {
    // Blocks start at multiples of 4, so byte i of a block is byte i % 4 of the pattern.
    const auto expected = static_cast<unsigned char>(kStrictPoison >> (8 * (i % 4)));
    if (static_cast<unsigned char>(storage_[offset + i]) != expected) {
      die(concat("something wrote byte ", i, " of a block of ", bytes,
                 " bytes of the strict backend"));
    }
  }
}

}  // namespace switchyard
