// Where the rows of a decode step stand, in device memory.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "runtime/step_rows.h"
#include "runtime/workspace.h"

namespace switchyard {

/// Page tables that calls of recorded steps read: their addresses and shapes say nothing of what is
/// in them, so that one recording serves every token.
class DecodeTables {
 public:
  /// Pages of a row's table come in whole segments of attention, so that the tables change their
  /// shape every kKeysPerSegment tokens.
  static constexpr int64_t kPageStep = kKeysPerSegment / kKeysPerPage;
  /// Entries of a cache group's tables at most: 4 MiB, 64 sequences of 1 Mi tokens.
  static constexpr int64_t kMostEntries = int64_t{1} << 20;

  /// Entries of a group for so many rows whose sequences have so many positions at most.
  static int64_t entries_needed(int64_t num_rows, int64_t max_positions);

  /// Buffers kDecodePositions and kDecodePages of `workspace`, which must outlive the tables.
  explicit DecodeTables(const Workspace& workspace) : workspace_(workspace) {}

  /// If every member of the step is one row that goes on with kept pages, and the tables have room
  /// for them: enqueues the upload of theirs, tells it `rows.attention`, and returns their pages of
  /// a row; 0 without rows. Else -1. Not before the step before has ended.
  int64_t upload(StepRows& rows, Backend& backend, Stream& stream);

 private:
  const Workspace& workspace_;
  std::vector<int32_t> positions_;               // the stream copies from these
  std::vector<std::vector<int32_t>> of_groups_;  // [groups][T, pages]
};

}  // namespace switchyard
