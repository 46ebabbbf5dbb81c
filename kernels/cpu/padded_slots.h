// Rows of an exchange whose counts only the device knows.
#pragma once

#include <cstdint>

#include "kernels/base/device_code.h"

namespace switchyard {
class OpContext;
}

namespace switchyard::cpu {

/// PaddedSlots over host pointers.
struct SlotLayout {
  float* rows = nullptr;  // [num_ranks * slot_rows, width]
  int64_t num_ranks = 0;
  int64_t slot_rows = 0;
  int64_t header_rows = 0;
  int64_t width = 0;

  /// The counts of a rank's slot.
  SWITCHYARD_DEVICE int32_t* header(int64_t rank) const {
    return reinterpret_cast<int32_t*>(rows + rank * slot_rows * width);
  }
  /// The first row behind the header of a slot.
  SWITCHYARD_DEVICE int64_t first_row(int64_t rank) const { return rank * slot_rows + header_rows; }
};

/// PlaceCopiesArgs over host pointers.
struct PlaceCopiesParams {
  const int32_t* topk_idx = nullptr;            // [num_copies]
  const int32_t* instance_of_expert = nullptr;  // [num_experts]
  const int32_t* first_instance = nullptr;      // [num_ranks + 1]
  SlotLayout slots;
  int32_t* places = nullptr;  // [num_copies]
  int64_t num_copies = 0;
  int64_t num_experts = 0;
};

/// GroupArrivalsArgs over host pointers.
struct GroupArrivalsParams {
  SlotLayout slots;
  int32_t* row_offsets = nullptr;   // [num_instances + 1]
  int32_t* grouped_from = nullptr;  // [num_rows]
  int64_t num_instances = 0;
  int64_t num_rows = 0;
};

/// As PlaceCopiesArgs says. Experts out of range and headers too short for a rank's instances are
/// internal errors.
void place_copies(OpContext& context, const PlaceCopiesParams& params);
/// As GroupArrivalsArgs says. Counts that no slot can hold are an internal error.
void group_arrivals(OpContext& context, const GroupArrivalsParams& params);

}  // namespace switchyard::cpu
