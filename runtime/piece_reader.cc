#include "runtime/piece_reader.h"

#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/given_codes.h"

namespace switchyard {

int64_t TensorPiece::bytes(const TensorEntry& entry) const {
  if (!as_codes) return count * size_of(entry.dtype);
  return count / entry.shape[1] * code_rows(entry).source_row_bytes();
}

PieceReader::PieceReader(TensorSource& source, const CheckpointIndex& index,
                         std::vector<TensorPiece> pieces)
    : source_(source), index_(index), pieces_(std::move(pieces)), thread_([this] { run(); }) {}

PieceReader::~PieceReader() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool PieceReader::wait_for_room(int64_t bytes) {
  std::unique_lock lock(mutex_);
  changed_.wait(
      lock, [&] { return is_ending_ || ready_.empty() || ready_bytes_ + bytes <= kAheadBytes; });
  return !is_ending_;
}

void PieceReader::run() {
  try {
    for (const TensorPiece& piece : pieces_) {
      const TensorEntry& entry = index_.at(piece.name);
      const int64_t bytes = piece.bytes(entry);
      if (!wait_for_room(bytes)) return;
      std::vector<char> read(static_cast<size_t>(bytes));
      if (piece.as_codes) {
        const int64_t cols = entry.shape[1];
        source_.read_codes(piece.name, entry, piece.first / cols, piece.count / cols, read.data());
      } else {
        source_.read(piece.name, entry, piece.first, piece.count, read.data());
      }
      const std::lock_guard lock(mutex_);
      ready_bytes_ += bytes;
      ready_.push_back(std::move(read));
      changed_.notify_all();
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

std::vector<char> PieceReader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || error_ != nullptr; });
  if (ready_.empty()) std::rethrow_exception(error_);
  std::vector<char> piece = std::move(ready_.front());
  ready_.pop_front();
  ready_bytes_ -= static_cast<int64_t>(piece.size());
  lock.unlock();
  changed_.notify_all();
  return piece;
}

}  // namespace switchyard
