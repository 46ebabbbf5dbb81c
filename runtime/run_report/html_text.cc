#include "runtime/run_report/html_text.h"

#include <cctype>
#include <cmath>

#include "kernels/base/error.h"
#include "kernels/base/text_table.h"

namespace switchyard {

std::string escape_html(std::string_view text) {
  std::string out;
  for (const char character : text) {
    switch (character) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        if (static_cast<unsigned char>(character) < 0x20) {
          out += "\uFFFD";
        } else {
          out += character;
        }
    }
  }
  return out;
}

std::string format_percent(double share) { return concat(format_fixed(100.0 * share, 1), " %"); }

std::string format_seconds(double seconds) {
  if (seconds >= 100.0) return concat(format_fixed(seconds, 1), " s");
  if (seconds >= 1.0 || seconds == 0.0) return concat(format_fixed(seconds, 2), " s");
  if (seconds >= 1e-3) return concat(format_fixed(seconds * 1e3, 2), " ms");
  return concat(format_fixed(seconds * 1e6, 1), " us");
}

std::string format_count(int64_t count) {
  std::string digits = std::to_string(count);
  const size_t first = count < 0 ? 1 : 0;
  for (size_t at = digits.size(); at > first + 3;) {
    at -= 3;
    digits.insert(at, "\u202F");  // a narrow space that does not break
  }
  return digits;
}

std::string format_place(double place) {
  std::string text = format_fixed(place, 2);
  while (text.ends_with('0')) text.pop_back();
  if (text.ends_with('.')) text.pop_back();
  return text == "-0" ? "0" : text;
}

double tick_step(double range, int most) {
  if (!(range > 0.0)) return 1.0;
  const double rough = range / most;
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1.0 - 1e-9)) return factor * power;
  }
  return 10.0 * power;
}

namespace {

bool is_number(const std::string& cell) {
  return !cell.empty() && (std::isdigit(static_cast<unsigned char>(cell[0])) != 0 || cell == "-" ||
                           (cell[0] == '-' && cell.size() > 1));
}

void add_row(const std::vector<std::string>& cells, const char* tag,
             const std::vector<bool>& to_the_right, std::string& out) {
  out += "<tr>";
  for (size_t i = 0; i < cells.size(); ++i) {
    out += concat("<", tag, to_the_right[i] ? " class=\"n\">" : ">", escape_html(cells[i]), "</",
                  tag, ">");
  }
  out += "</tr>\n";
}

}  // namespace

std::string html_table(const std::vector<std::string>& header,
                       const std::vector<std::vector<std::string>>& rows) {
  std::vector<bool> to_the_right(header.size(), !rows.empty());
  for (const std::vector<std::string>& row : rows) {
    SWITCHYARD_CHECK(row.size() == header.size());
    for (size_t i = 0; i < row.size(); ++i) {
      if (!is_number(row[i])) to_the_right[i] = false;
    }
  }
  std::string out = "<div class=\"scroll\"><table><thead>";
  add_row(header, "th", to_the_right, out);
  out += "</thead><tbody>\n";
  for (const std::vector<std::string>& row : rows) add_row(row, "td", to_the_right, out);
  return out + "</tbody></table></div>\n";
}

}  // namespace switchyard
