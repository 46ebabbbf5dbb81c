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
  const RowRun* runs;
  int num_runs;
  const int32_t* page_table;
  int64_t num_items;

  /// The run of an item, by halving.
  SWITCHYARD_DEVICE const RowRun& find(int64_t item) const {
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
};

/// Uploads the runs that have rows; items_of(run) tells how many items one makes.
template <typename ItemsOf>
PagedRows upload_rows(CudaQueue& queue, const cpu::PagedSequences& rows, const ItemsOf& items_of) {
  std::vector<RowRun> runs;
  int64_t num_items = 0;
  for (const SequenceRows& sequence : rows.sequences) {
    if (sequence.num_rows == 0) continue;
    runs.push_back({sequence, num_items});
    num_items += items_of(sequence);
  }
  return {queue.upload(runs), static_cast<int>(runs.size()), queue.upload(rows.page_table),
          num_items};
}

}  // namespace switchyard::cuda
