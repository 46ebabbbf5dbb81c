// Layers that keep the same positions in the key/value cache.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/model_config.h"

namespace switchyard {

/// Layers with the same attention window: one table of pages serves them all.
struct CacheGroup {
  int64_t window = 0;  // 0: all positions
  std::vector<int> layers;
};

/// The groups of a model, in the order of their first layers.
std::vector<CacheGroup> cache_groups(const ModelConfig& config);

/// Where the pages of each layer begin when those of all layers stand one after another: first
/// page of layer i, for `pages_of_group` pages a layer.
std::vector<int64_t> first_cache_pages(const std::vector<CacheGroup>& groups,
                                       const std::vector<int64_t>& pages_of_group, int num_layers);

}  // namespace switchyard
