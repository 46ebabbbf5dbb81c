#include "runtime/cache_sizes.h"

#include <algorithm>

#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/expert_reader.h"

namespace switchyard {
namespace {

int64_t count_experts(const std::vector<ExpertLayer>& layers) {
  int64_t count = 0;
  for (const ExpertLayer& layer : layers) count += layer.num_local_experts();
  return count;
}

int64_t staging_of_thread(const std::vector<ExpertLayer>& layers) {
  int64_t bytes = 0;
  for (const ExpertLayer& layer : layers) {
    bytes = std::max(bytes, ExpertReader::staging_bytes(layer.experts));
  }
  return bytes;
}

/// Slots that the options ask for; all of free_bytes where they ask for nothing.
int64_t slots_asked_for(const CacheSizes& sizes, int64_t resident_bytes, const TierOptions& options,
                        int64_t free_bytes) {
  if (options.expert_slots) return std::min(*options.expert_slots, sizes.num_experts);
  const int64_t budget = options.expert_budget.value_or(free_bytes);
  if (budget >= resident_bytes) return sizes.num_experts;
  return std::min(budget / std::max<int64_t>(sizes.slot_bytes, 1), sizes.num_experts - 1);
}

void check_slots(const CacheSizes& sizes, int64_t fewest, const TierOptions& options) {
  if (sizes.num_slots >= fewest) return;
  if (options.expert_slots) {
    fail_usage("--expert-slots ", *options.expert_slots,
               ": every MoE layer needs a slot of its own with --cache-scope layer; give at least ",
               fewest);
  }
  if (!options.expert_budget) return;
  fail_usage(
      "--expert-budget ", format_byte_size(*options.expert_budget), " (", *options.expert_budget,
      " bytes) holds ", sizes.num_slots, " experts, but ", fewest, fewest == 1 ? " is" : " are",
      " needed at a time", fewest == 1 ? "" : " with --cache-scope layer", "; one takes ",
      format_byte_size(sizes.slot_bytes), ": give at least ", fewest * sizes.slot_bytes, " bytes");
}

}  // namespace

int64_t resident_expert_bytes(const std::vector<ExpertLayer>& layers, const Backend& backend) {
  int64_t bytes = 0;
  for (const ExpertLayer& layer : layers) {
    for (const ExpertShape& shape : layer.experts) {
      bytes += whole_blocks(expert_slot_bytes(shape, backend));
    }
  }
  return bytes;
}

int64_t largest_slot_bytes(const std::vector<ExpertLayer>& layers, const Backend& backend) {
  int64_t largest = 0;
  for (const ExpertLayer& layer : layers) {
    for (const ExpertShape& shape : layer.experts) {
      largest = std::max(largest, whole_blocks(expert_slot_bytes(shape, backend)));
    }
  }
  return largest;
}

int64_t fewest_slots(const std::vector<ExpertLayer>& layers, CacheScope scope) {
  const auto has_experts = [](const ExpertLayer& layer) { return layer.num_local_experts() > 0; };
  const int64_t used_layers = std::ranges::count_if(layers, has_experts);
  return scope == CacheScope::kLayer ? used_layers : std::min<int64_t>(used_layers, 1);
}

CacheSizes plan_cache(const std::vector<ExpertLayer>& layers, const TierOptions& options,
                      int64_t free_bytes, const Backend& backend) {
  CacheSizes sizes;
  sizes.num_experts = count_experts(layers);
  sizes.slot_bytes = largest_slot_bytes(layers, backend);
  const int64_t resident_bytes = resident_expert_bytes(layers, backend);
  sizes.num_slots = slots_asked_for(sizes, resident_bytes, options, free_bytes);
  const int64_t fewest = fewest_slots(layers, options.scope);
  check_slots(sizes, fewest, options);
  sizes.num_slots = std::max(sizes.num_slots, std::min(fewest, sizes.num_experts));
  sizes.device_bytes = sizes.is_resident() ? resident_bytes : sizes.num_slots * sizes.slot_bytes;
  sizes.load_threads = sizes.num_experts == 0 ? 0 : options.load_threads;
  sizes.staging_bytes = sizes.load_threads * staging_of_thread(layers);
  if (!sizes.is_resident()) {
    sizes.host_slots = std::min(options.host_budget / sizes.slot_bytes, sizes.num_experts);
  }
  return sizes;
}

}  // namespace switchyard
