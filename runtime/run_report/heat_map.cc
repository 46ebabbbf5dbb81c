#include <algorithm>
#include <cmath>

#include "kernels/base/text_table.h"
#include "runtime/run_report/html_text.h"
#include "runtime/run_report/run_pictures.h"
#include "runtime/run_report/svg.h"

namespace switchyard {
namespace {

constexpr int kNumColours = 10;  // classes h0 ... h9 of the style sheet, and hn for no use
constexpr double kLeft = 56.0;
constexpr double kTop = 34.0;
constexpr double kBottom = 64.0;
constexpr double kWidest = 1040.0;

/// What all ranks together say of an expert.
struct Cell {
  ExpertAccount account;
  std::vector<size_t> ranks;  // that hold it
};
using Grid = std::vector<std::vector<Cell>>;  // [MoE layer][expert]

Grid collect_cells(const StatsFile& stats) {
  Grid grid;
  for (const int64_t count : stats.run.num_experts) grid.emplace_back(static_cast<size_t>(count));
  for (size_t rank = 0; rank < stats.ranks.size(); ++rank) {
    const CacheStats& cache = stats.ranks[rank].cache;
    for (size_t layer = 0; layer < cache.experts.size(); ++layer) {
      for (size_t i = 0; i < cache.experts[layer].size(); ++i) {
        Cell& cell = grid[layer][static_cast<size_t>(cache.expert_ids[layer][i])];
        cell.account = total_of({cell.account, cache.experts[layer][i]});
        cell.ranks.push_back(rank);
      }
    }
  }
  return grid;
}

int64_t most_uses(const Grid& grid) {
  int64_t most = 0;
  for (const std::vector<Cell>& layer : grid) {
    for (const Cell& cell : layer) most = std::max(most, cell.account.uses);
  }
  return most;
}

std::string rank_text(const Cell& cell) {
  if (cell.ranks.empty()) return "no rank";
  std::string text = cell.ranks.size() == 1 ? "rank" : "ranks";
  for (const size_t rank : cell.ranks) text += concat(" ", rank);
  return text;
}

class HeatMap {
 public:
  HeatMap(const RunFacts& run, const Grid& grid)
      : run_(run),
        grid_(grid),
        most_(most_uses(grid)),
        columns_(static_cast<double>(*std::ranges::max_element(run.num_experts))),
        cell_width_(std::clamp(std::floor((kWidest - kLeft) / columns_), 3.0, 36.0)),
        cell_height_(std::clamp(600.0 / static_cast<double>(grid.size()), 9.0, 26.0)),
        width_(std::max(kLeft + cell_width_ * columns_ + 12.0, 560.0)),
        svg_(width_, bottom() + kBottom, "uses of every expert") {}

  std::string draw() {
    for (size_t layer = 0; layer < grid_.size(); ++layer) draw_layer(layer);
    draw_borders();
    draw_axes();
    draw_legend();
    return svg_.finish();
  }

 private:
  double bottom() const { return kTop + cell_height_ * static_cast<double>(grid_.size()); }
  double x_of(size_t expert) const { return kLeft + cell_width_ * static_cast<double>(expert); }
  double y_of(size_t layer) const { return kTop + cell_height_ * static_cast<double>(layer); }

  /// The most uses that a colour stands for. The steps grow, because a few experts are used much
  /// more often than most.
  int64_t highest_of(int colour) const {
    const double part = static_cast<double>(colour + 1) / kNumColours;
    return static_cast<int64_t>(std::ceil(static_cast<double>(most_) * part * part - 1e-9));
  }

  std::string colour_of(int64_t uses) const {
    if (uses == 0) return "hn";
    int colour = 0;
    while (colour + 1 < kNumColours && uses > highest_of(colour)) ++colour;
    return concat("h", colour);
  }

  void draw_layer(size_t layer) {
    int64_t all = 0;
    for (const Cell& cell : grid_[layer]) all += cell.account.uses;
    const double mean = static_cast<double>(all) / static_cast<double>(grid_[layer].size());
    for (size_t expert = 0; expert < grid_[layer].size(); ++expert) {
      const Cell& cell = grid_[layer][expert];
      const ExpertAccount& account = cell.account;
      std::string hover = concat("layer ", run_.moe_layers[layer], ", expert ", expert, ", ",
                                 rank_text(cell), ": ", account.uses, " uses");
      if (account.uses > 0) {
        hover += concat(" (", format_fixed(static_cast<double>(account.uses) / mean, 2),
                        " x mean), ", account.rows, " rows, ",
                        format_percent(share_of(account.hits, account.uses)), " hits");
      }
      // A hair's breadth wider, so that no light shines between cells.
      svg_.rect({x_of(expert), y_of(layer), cell_width_ + 0.1, cell_height_ + 0.1},
                colour_of(account.uses), hover);
    }
  }

  void draw_borders() {
    std::string data;
    for (size_t layer = 0; layer < grid_.size(); ++layer) {
      for (size_t expert = 1; expert < grid_[layer].size(); ++expert) {
        if (grid_[layer][expert].ranks == grid_[layer][expert - 1].ranks) continue;
        data += concat("M", format_place(x_of(expert)), " ", format_place(y_of(layer)), "v",
                       format_place(cell_height_));
      }
    }
    if (data.empty()) return;
    svg_.path(data, "edge");
    svg_.path(data, "edge-in");
  }

  void draw_axes() {
    const double layer_step = std::max(1.0, std::ceil(12.0 / cell_height_));
    for (size_t layer = 0; layer < grid_.size(); layer += static_cast<size_t>(layer_step)) {
      svg_.text(kLeft - 6.0, y_of(layer) + cell_height_ / 2.0 + 4.0,
                std::to_string(run_.moe_layers[layer]), TextAnchor::kEnd, "m");
    }
    const int most = std::max(1, static_cast<int>(columns_ * cell_width_ / 40.0));
    const double step = std::max(1.0, tick_step(columns_, most));
    for (double expert = 0.0; expert < columns_; expert += step) {
      svg_.text(kLeft + cell_width_ * (expert + 0.5), kTop - 6.0, format_place(expert),
                TextAnchor::kMiddle, "m");
    }
    svg_.text(kLeft + cell_width_ * columns_ / 2.0, 12.0, "expert", TextAnchor::kMiddle);
    svg_.upright_text(12.0, (kTop + bottom()) / 2.0, "layer");
  }

  void draw_legend() {
    const double y = bottom() + 22.0;
    svg_.text(kLeft, y - 6.0, "uses (steps in which the expert had rows)");
    double x = kLeft;
    constexpr double kStep = 42.0;
    svg_.rect({x, y, kStep, 12.0}, "hn");
    svg_.text(x + kStep / 2.0, y + 26.0, "0", TextAnchor::kMiddle, "m");
    for (int colour = 0; colour < kNumColours; ++colour) {
      x += kStep;
      svg_.rect({x, y, kStep, 12.0}, concat("h", colour));
      const int64_t high = highest_of(colour);
      if (colour > 0 && high == highest_of(colour - 1)) continue;
      svg_.text(x + kStep, y + 26.0, format_count(high), TextAnchor::kMiddle, "m");
    }
  }

  const RunFacts& run_;
  const Grid& grid_;
  const int64_t most_;
  const double columns_;
  const double cell_width_;
  const double cell_height_;
  const double width_;
  Svg svg_;
};

}  // namespace

std::string draw_heat_map(const StatsFile& stats) {
  const Grid grid = collect_cells(stats);
  if (most_uses(grid) == 0) return "";
  return HeatMap(stats.run, grid).draw();
}

}  // namespace switchyard
