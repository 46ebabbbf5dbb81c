// Writes many elements to a file by all threads at once.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "kernels/base/thread_pool.h"
#include "runtime/checkpoint/staged_file.h"

namespace switchyard {

/// Gives elements [first, first + count) of a storage. Called by all threads of the pool at once.
using StorageSource = std::function<void(size_t storage, int64_t first, int64_t count, void* to)>;
/// Told how many more payload bytes are written, by the calling thread only.
using ByteCounter = std::function<void(int64_t bytes)>;

/// Where a storage's elements go.
struct StoragePlan {
  int64_t offset = 0;  // of the first, in bytes
  int64_t num_elements = 0;
  int64_t item_bytes = 1;
};

/// Elements of a storage that one thread writes at a time.
struct StoragePiece {
  size_t storage = 0;
  int64_t first = 0;
  int64_t count = 0;
};

/// The pieces of all storages, in order.
std::vector<StoragePiece> split_storages(const std::vector<StoragePlan>& storages);

/// Shown each piece's bytes once they are made, by any thread.
using PieceObserver = std::function<void(size_t piece, std::string_view bytes)>;

/// Writes the elements as the source gives them, a MiB a thread at a time. `pieces` are
/// split_storages(storages). Throws Error(kResource) naming the file.
void write_pieces(const std::vector<StoragePlan>& storages, const std::vector<StoragePiece>& pieces,
                  const StorageSource& source, ThreadPool& pool, const ByteCounter& counter,
                  const PieceObserver& observer, const StagedFile& file);

}  // namespace switchyard
