// Pieces of tensors from the files, read while the ones before are unpacked.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

/// Elements [first, first + count) of a tensor in row-major order.
struct TensorPiece {
  std::string name;
  int64_t first = 0;
  int64_t count = 0;
  bool as_codes = false;  // whole rows of a matrix, see TensorSource::read_codes

  /// Bytes that next() gives, of this entry.
  int64_t bytes(const TensorEntry& entry) const;
};

/// Reads pieces in order on a thread of its own, as far ahead as kAheadBytes allow.
class PieceReader {
 public:
  /// Bytes that wait to be taken; a piece may pass the limit when none waits.
  static constexpr int64_t kAheadBytes = int64_t{32} << 20;

  /// The references must outlive the reader; nobody else uses `source` meanwhile.
  PieceReader(TensorSource& source, const CheckpointIndex& index, std::vector<TensorPiece> pieces);
  /// Ends the reading, also before all pieces are taken.
  ~PieceReader();
  PieceReader(const PieceReader&) = delete;
  PieceReader& operator=(const PieceReader&) = delete;

  /// The next piece's elements, or codes, as they are stored. Rethrows what reading threw.
  std::vector<char> next();

 private:
  void run();
  /// Waits for room for `bytes`; false when the reader is to end.
  bool wait_for_room(int64_t bytes);

  TensorSource& source_;
  const CheckpointIndex& index_;
  const std::vector<TensorPiece> pieces_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::vector<char>> ready_;
  int64_t ready_bytes_ = 0;
  std::exception_ptr error_;
  bool is_ending_ = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace switchyard
