// Packs a checkpoint's weights and writes them into the files of a converted one.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/base/aligned_buffer.h"
#include "kernels/base/thread_pool.h"
#include "runtime/checkpoint/piece_writer.h"
#include "runtime/checkpoint/staged_file.h"
#include "runtime/expert_reader.h"
#include "runtime/native_plan.h"

namespace switchyard {

/// The checksum of something that one rank has written.
struct WrittenPart {
  int64_t number = 0;  // piece of the dense file, or item of the plan
  uint32_t crc32 = 0;
};

/// Thread-seconds of the steps of packing experts and matrices.
struct PackingTimes {
  double read = 0.0;
  double pack = 0.0;
  double write = 0.0;  // checksums included
};

/// Writes one rank's share of the files: of everything that is numbered, what is `rank` modulo the
/// ranks. Bytes do not depend on ranks and threads.
class NativeWriter {
 public:
  /// Bytes of host memory that one thread of a writer takes.
  static int64_t bytes_per_thread(const Checkpoint& checkpoint, const NativePlan& plan);

  /// The references must outlive the writer. `backend` packs, on one thread a stream.
  NativeWriter(const Checkpoint& checkpoint, const NativePlan& plan, Backend& backend, int rank,
               int num_ranks);
  ~NativeWriter();

  /// Writes the share of a file of the plan, by its number, and waits until it is on the disk.
  /// Throws Error(kInput) for what cannot be read, Error(kResource) for what cannot be written.
  std::vector<WrittenPart> write(size_t file_number, StagedFile& file, ThreadPool& pool,
                                 const ByteCounter& counter);

  PackingTimes times() const;

 private:
  class Packer;

  bool is_mine(int64_t number) const { return number % num_ranks_ == rank_; }
  std::vector<WrittenPart> write_dense(StagedFile& file, ThreadPool& pool,
                                       const ByteCounter& counter);
  std::vector<WrittenPart> write_items(size_t file_number, StagedFile& file, ThreadPool& pool,
                                       const ByteCounter& counter);
  /// Elements of a dense tensor in the type they are kept in. Any thread.
  void read_dense(size_t tensor, int64_t first, int64_t count, void* to);

  const Checkpoint& checkpoint_;
  const NativePlan& plan_;
  Backend& backend_;
  const int rank_;
  const int num_ranks_;
  std::vector<std::unique_ptr<Packer>> packers_;  // by thread
  std::mutex mutex_;
  std::vector<std::unique_ptr<TensorReader>> idle_readers_;  // of dense tensors
};

/// Pieces of the dense file in order, as WrittenPart numbers them; the header comes before them.
std::vector<StoragePiece> dense_pieces(const NativePlan& plan);

/// The checksum of the dense file from those of its pieces.
uint32_t dense_checksum(const NativePlan& plan, const std::vector<uint32_t>& piece_crcs);

}  // namespace switchyard
