#include "runtime/run_report/svg.h"

#include "kernels/base/error.h"
#include "runtime/run_report/html_text.h"

namespace switchyard {
namespace {

std::string attribute(std::string_view name, double place) {
  return concat(" ", name, "=\"", format_place(place), "\"");
}

std::string class_attribute(std::string_view css_class) {
  return css_class.empty() ? "" : concat(" class=\"", css_class, "\"");
}

}  // namespace

double text_width(std::string_view words) {
  constexpr double kCharacterWidth = 6.6;  // of the page's 12 pixel font, at the wider end
  return kCharacterWidth * static_cast<double>(words.size());
}

Svg::Svg(double width, double height, std::string_view title)
    : text_(concat("<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\"",
                   attribute("width", width), attribute("height", height), " viewBox=\"0 0 ",
                   format_place(width), " ", format_place(height), "\"><title>", escape_html(title),
                   "</title>\n")) {}

void Svg::close(std::string_view tag, std::string_view hover) {
  if (hover.empty()) {
    text_ += "/>\n";
  } else {
    text_ += concat("><title>", escape_html(hover), "</title></", tag, ">\n");
  }
}

void Svg::rect(const SvgBox& box, std::string_view css_class, std::string_view hover) {
  text_ += concat("<rect", class_attribute(css_class), attribute("x", box.x), attribute("y", box.y),
                  attribute("width", box.width), attribute("height", box.height));
  close("rect", hover);
}

void Svg::line(double x1, double y1, double x2, double y2, std::string_view css_class) {
  text_ += concat("<line", class_attribute(css_class), attribute("x1", x1), attribute("y1", y1),
                  attribute("x2", x2), attribute("y2", y2), "/>\n");
}

void Svg::polyline(std::span<const std::pair<double, double>> points, std::string_view css_class) {
  text_ += concat("<polyline", class_attribute(css_class), " points=\"");
  for (const auto& [x, y] : points) text_ += concat(format_place(x), ",", format_place(y), " ");
  text_ += "\"/>\n";
}

void Svg::circle(double x, double y, double radius, std::string_view css_class,
                 std::string_view hover) {
  text_ += concat("<circle", class_attribute(css_class), attribute("cx", x), attribute("cy", y),
                  attribute("r", radius));
  close("circle", hover);
}

void Svg::text(double x, double y, std::string_view words, TextAnchor anchor,
               std::string_view css_class) {
  const char* place = anchor == TextAnchor::kStart    ? ""
                      : anchor == TextAnchor::kMiddle ? " text-anchor=\"middle\""
                                                      : " text-anchor=\"end\"";
  text_ += concat("<text", class_attribute(css_class), attribute("x", x), attribute("y", y), place,
                  ">", escape_html(words), "</text>\n");
}

void Svg::upright_text(double x, double y, std::string_view words) {
  text_ += concat("<text text-anchor=\"middle\" transform=\"translate(", format_place(x), " ",
                  format_place(y), ") rotate(-90)\">", escape_html(words), "</text>\n");
}

void Svg::path(std::string_view data, std::string_view css_class) {
  text_ += concat("<path", class_attribute(css_class), " d=\"", data, "\"/>\n");
}

double Svg::legend_entry(double x, double y, std::string_view css_class, std::string_view words) {
  constexpr double kSquare = 12.0;
  constexpr double kGap = 5.0;
  rect({x, y, kSquare, kSquare}, css_class);
  text(x + kSquare + kGap, y + kSquare - 2.0, words);
  return x + kSquare + 4.0 * kGap + text_width(words);
}

}  // namespace switchyard
