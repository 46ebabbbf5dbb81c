#include "kernels/base/aligned_buffer.h"

#include <sys/mman.h>

#include <cstdlib>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr int64_t kCacheLine = 64;
constexpr int64_t kHugePage = int64_t{2} << 20;
/// What a process can address at most (x86-64 and AArch64: 47 and 48 bits).
constexpr int64_t kAddressSpace = int64_t{1} << 47;

}  // namespace

void AlignedBuffer::Free::operator()(void* data) const { std::free(data); }

AlignedBuffer::AlignedBuffer(int64_t bytes) : bytes_(bytes) {
  SWITCHYARD_CHECK(bytes >= 0, "a buffer of ", bytes, " bytes");
  if (bytes == 0) return;
  const bool huge = bytes >= kHugePage;
  void* data = nullptr;
  if (bytes > kAddressSpace ||
      posix_memalign(&data, static_cast<size_t>(huge ? kHugePage : kCacheLine),
                     static_cast<size_t>(bytes)) != 0) {
    fail_resource("cannot allocate ", bytes,
                  " bytes of host memory; use more ranks or smaller buffers");
  }
  data_.reset(data);
  // Advice only: without huge pages everything works, slower.
  if (huge) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
}

}  // namespace switchyard
