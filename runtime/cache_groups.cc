#include "runtime/cache_groups.h"

#include <algorithm>

namespace switchyard {

std::vector<CacheGroup> cache_groups(const ModelConfig& config) {
  std::vector<CacheGroup> groups;
  for (int layer = 0; layer < config.num_layers(); ++layer) {
    const int64_t window = config.window_of(layer);
    auto group = std::ranges::find(groups, window, &CacheGroup::window);
    if (group == groups.end()) group = groups.insert(group, {window, {}});
    group->layers.push_back(layer);
  }
  return groups;
}

std::vector<int64_t> first_cache_pages(const std::vector<CacheGroup>& groups,
                                       const std::vector<int64_t>& pages_of_group, int num_layers) {
  std::vector<int64_t> first(static_cast<size_t>(num_layers), 0);
  int64_t next = 0;
  for (size_t group = 0; group < groups.size(); ++group) {
    for (const int layer : groups[group].layers) {
      first[static_cast<size_t>(layer)] = next;
      next += pages_of_group[group];
    }
  }
  return first;
}

}  // namespace switchyard
