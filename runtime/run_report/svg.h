// Drawings inside a page.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace switchyard {

/// Where a text stands relative to its place.
enum class TextAnchor { kStart, kMiddle, kEnd };

struct SvgBox {
  double x = 0.0;
  double y = 0.0;
  double width = 0.0;
  double height = 0.0;
};

/// One <svg>; looks are classes of the page's style sheet. Places are pixels, y downwards.
class Svg {
 public:
  /// `title` is what a screen reader says.
  Svg(double width, double height, std::string_view title);

  /// `hover` is shown under the pointer; empty: nothing is.
  void rect(const SvgBox& box, std::string_view css_class, std::string_view hover = {});
  void line(double x1, double y1, double x2, double y2, std::string_view css_class);
  void polyline(std::span<const std::pair<double, double>> points, std::string_view css_class);
  void circle(double x, double y, double radius, std::string_view css_class,
              std::string_view hover = {});
  void text(double x, double y, std::string_view words, TextAnchor anchor = TextAnchor::kStart,
            std::string_view css_class = {});
  /// A text that runs upwards, its middle at the place.
  void upright_text(double x, double y, std::string_view words);
  /// A path in SVG's own language.
  void path(std::string_view data, std::string_view css_class);

  /// A coloured square with what it stands for, at `x`; returns where the next may begin.
  double legend_entry(double x, double y, std::string_view css_class, std::string_view words);

  /// The whole drawing.
  std::string finish() const { return text_ + "</svg>\n"; }

 private:
  void close(std::string_view tag, std::string_view hover);

  std::string text_;
};

/// Width that a text of this many bytes takes at most, for places in a legend.
double text_width(std::string_view words);

}  // namespace switchyard
