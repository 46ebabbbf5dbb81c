#include "kernels/cpu/padded_slots.h"

#include <algorithm>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/ops.h"

namespace switchyard::cpu {

void place_copies(OpContext&, const PlaceCopiesParams& params) {
  const SlotLayout& slots = params.slots;
  const auto num_instances = static_cast<size_t>(params.first_instance[slots.num_ranks]);
  std::vector<int32_t> next(num_instances, 0);  // counts, then the next place of each instance
  const auto instance_of = [&](int64_t copy) {
    const int32_t expert = params.topk_idx[copy];
    SWITCHYARD_CHECK(expert < params.num_experts, "place_copies: expert ", expert);
    return static_cast<size_t>(params.instance_of_expert[expert]);
  };
  for (int64_t copy = 0; copy < params.num_copies; ++copy) {
    if (params.topk_idx[copy] >= 0) ++next[instance_of(copy)];
  }
  for (int64_t rank = 0; rank < slots.num_ranks; ++rank) {
    const int32_t first = params.first_instance[rank];
    const int32_t count = params.first_instance[rank + 1] - first;
    SWITCHYARD_CHECK(count <= slots.header_rows * slots.width, "place_copies: ", count,
                     " instances of a rank");
    int64_t place = slots.first_row(rank);
    for (int32_t local = 0; local < count; ++local) {
      const int32_t rows = next[static_cast<size_t>(first + local)];
      slots.header(rank)[local] = rows;
      next[static_cast<size_t>(first + local)] = static_cast<int32_t>(place);
      place += rows;
    }
  }
  for (int64_t copy = 0; copy < params.num_copies; ++copy) {
    params.places[copy] = params.topk_idx[copy] < 0 ? kNoRow : next[instance_of(copy)]++;
  }
}

void group_arrivals(OpContext&, const GroupArrivalsParams& params) {
  const SlotLayout& slots = params.slots;
  std::vector<int64_t> next;  // by slot
  for (int64_t rank = 0; rank < slots.num_ranks; ++rank) next.push_back(slots.first_row(rank));
  int64_t row = 0;
  params.row_offsets[0] = 0;
  for (int64_t instance = 0; instance < params.num_instances; ++instance) {
    for (int64_t rank = 0; rank < slots.num_ranks; ++rank) {
      int64_t& from = next[static_cast<size_t>(rank)];
      const int32_t count = slots.header(rank)[instance];
      SWITCHYARD_CHECK(count >= 0 && from + count <= (rank + 1) * slots.slot_rows,
                       "group_arrivals: ", count, " rows of instance ", instance, " from rank ",
                       rank);
      for (int32_t i = 0; i < count; ++i) params.grouped_from[row++] = static_cast<int32_t>(from++);
    }
    params.row_offsets[instance + 1] = static_cast<int32_t>(row);
  }
  std::fill(params.grouped_from + row, params.grouped_from + params.num_rows, kNoRow);
}

}  // namespace switchyard::cpu
