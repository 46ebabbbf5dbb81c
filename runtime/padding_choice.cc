#include "runtime/padding_choice.h"

#include <algorithm>
#include <optional>
#include <string>

#include "kernels/base/error.h"
#include "parallel/padded_exchange.h"

namespace switchyard {
namespace {

bool have_copies(const std::vector<LayerPlacement>& placements) {
  return std::ranges::any_of(placements, [](const LayerPlacement& placement) {
    return placement.num_instances() > placement.num_experts();
  });
}

bool is_uneven(const ExpertLayer& layer) {
  return std::ranges::any_of(layer.experts, [&](const ExpertShape& shape) {
    return shape.up != layer.experts.front().up || shape.down != layer.experts.front().down;
  });
}

}  // namespace

bool choose_padding(const RuntimeSettings& settings, const PaddingFacts& facts,
                    const Backend& backend, ControlChannel& control) {
  constexpr CollectiveLabel kLabel{.phase = "choice of the exchange's layout"};
  const auto anywhere = [&](bool holds) { return control.all_max(holds ? 1 : 0, kLabel) > 0; };
  PaddingConditions conditions;
  conditions.is_direct = settings.exchange.kind != ExchangeKind::kTwoLevel;
  conditions.has_capacity = settings.capacity_fraction.has_value();
  conditions.has_copies = have_copies(facts.placements);
  conditions.is_resident = !anywhere(!facts.is_resident);
  conditions.is_uneven = anywhere(std::ranges::any_of(facts.experts, is_uneven));
  conditions.counts_on_device = !anywhere(!backend.takes_device_offsets());
  // What a host's memory holds needs no copy to be looked at.
  const bool is_worth_it = !anywhere(!backend.device_memory().has_value());
  const std::optional<std::string> obstacle = padding_obstacle(conditions);
  control.agree(
      [&] {
        if (settings.exchange.layout == ExchangeLayout::kPadded && obstacle) {
          fail_usage("--exchange-layout padded: ", *obstacle, "; leave it at auto");
        }
      },
      kLabel);
  if (obstacle || settings.exchange.layout == ExchangeLayout::kExact) return false;
  return settings.exchange.layout == ExchangeLayout::kPadded || is_worth_it;
}

}  // namespace switchyard
