// The rows of a call and their pages, for kernels.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/base/device_code.h"
#include "kernels/cpu/attention.h"
#include "kernels/cuda/cuda_queue.h"

namespace switchyard::cuda {

/// A run of rows and the first of the items that it is cut into; see SequenceRows.
struct RowRun {
  SequenceRows rows;
  int64_t first_item;
};

/// Runs in device memory. Their items stand one after the other.
struct PagedRows {
  const RowRun* runs;  // null: decode.positions say where the rows stand, a run each
  int num_runs;
  const int32_t* page_table;
  int64_t num_items;
  cpu::PagedDecodeRows decode;
  int64_t items_per_row;  // of decode

  /// The run of an item.
  SWITCHYARD_DEVICE RowRun find(int64_t item) const {
    if (runs == nullptr) return decode_run(item / items_per_row);
    int begin = 0;
    int end = num_runs;
    while (end - begin > 1) {
      const int middle = (begin + end) / 2;
      if (runs[middle].first_item <= item) {
        begin = middle;
      } else {
        end = middle;
      }
    }
    return runs[begin];
  }

 private:
  SWITCHYARD_DEVICE RowRun decode_run(int64_t row) const {
    return {{row, 1, decode.positions[row], row * decode.num_pages, INT64_MAX},
            row * items_per_row};
  }
};

/// The runs that have rows, uploaded where the device has not got them; items_of(run) tells how
/// many items one makes.
template <typename ItemsOf>
PagedRows upload_rows(CudaQueue& queue, const cpu::PagedSequences& rows, const ItemsOf& items_of) {
  PagedRows paged = {};
  if (rows.decode.are_given()) {
    paged.page_table = rows.decode.page_table;
    paged.decode = rows.decode;
    paged.items_per_row = items_of(SequenceRows{.num_rows = 1});
    paged.num_items = rows.decode.num_rows * paged.items_per_row;
    return paged;
  }
  std::vector<RowRun> runs;
  for (const SequenceRows& sequence : rows.sequences) {
    if (sequence.num_rows == 0) continue;
    runs.push_back({sequence, paged.num_items});
    paged.num_items += items_of(sequence);
  }
  paged.runs = queue.upload(runs);
  paged.num_runs = static_cast<int>(runs.size());
  paged.page_table = queue.upload(rows.page_table);
  return paged;
}

}  // namespace switchyard::cuda
