#include "runtime/checkpoint/piece_writer.h"

#include <algorithm>
#include <atomic>

#include "kernels/base/aligned_buffer.h"

namespace switchyard {
namespace {

/// What a thread makes and writes at a time. Its checksum is computed and its bytes are written
/// while they are in the core's cache.
constexpr int64_t kPieceBytes = int64_t{1} << 20;

}  // namespace

std::vector<StoragePiece> split_storages(const std::vector<StoragePlan>& storages) {
  std::vector<StoragePiece> pieces;
  for (size_t i = 0; i < storages.size(); ++i) {
    const int64_t most = kPieceBytes / storages[i].item_bytes;
    for (int64_t first = 0; first < storages[i].num_elements; first += most) {
      pieces.push_back({i, first, std::min(most, storages[i].num_elements - first)});
    }
  }
  return pieces;
}

void write_pieces(const std::vector<StoragePlan>& storages, const std::vector<StoragePiece>& pieces,
                  const StorageSource& source, ThreadPool& pool, const ByteCounter& counter,
                  const PieceObserver& observer, const StagedFile& file) {
  std::vector<AlignedBuffer> buffers;
  for (int i = 0; i < pool.num_threads(); ++i) buffers.emplace_back(kPieceBytes);
  std::atomic<int64_t> untold{0};
  pool.parallel_for(static_cast<int64_t>(pieces.size()), [&](int64_t task, int thread) {
    const StoragePiece& piece = pieces[static_cast<size_t>(task)];
    const StoragePlan& storage = storages[piece.storage];
    char* buffer = static_cast<char*>(buffers[static_cast<size_t>(thread)].data());
    source(piece.storage, piece.first, piece.count, buffer);
    const std::string_view bytes(buffer, static_cast<size_t>(piece.count * storage.item_bytes));
    observer(static_cast<size_t>(task), bytes);
    file.write_at(storage.offset + piece.first * storage.item_bytes, bytes);
    untold += static_cast<int64_t>(bytes.size());
    if (thread == 0) counter(untold.exchange(0));
  });
  counter(untold.exchange(0));
}

}  // namespace switchyard
