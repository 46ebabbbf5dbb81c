#include "kernels/base/text_table.h"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// Characters, not bytes, of UTF-8 text: continuation bytes take no column.
size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](unsigned char byte) { return (byte & 0xC0u) != 0x80u; }));
}

bool starts_like_a_number(const std::string& cell) {
  const size_t first = cell.find_first_not_of("+-.");
  return first != std::string::npos && cell[first] >= '0' && cell[first] <= '9';
}

struct Column {
  size_t width = 0;
  bool numeric = true;  // every cell below the header is a number, "-" or empty
};

std::string line_of(const std::vector<std::string>& cells, const std::vector<Column>& columns) {
  std::string line;
  for (size_t c = 0; c < cells.size(); ++c) {
    const std::string padding(columns[c].width - width_of(cells[c]), ' ');
    if (c > 0) line += "  ";
    line += columns[c].numeric ? padding + cells[c] : cells[c] + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

}  // namespace

TextTable::TextTable(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

void TextTable::add_row(std::vector<std::string> cells) {
  SWITCHYARD_CHECK(cells.size() == rows_.front().size(), cells.size(), " cells in a table of ",
                   rows_.front().size(), " columns");
  rows_.push_back(std::move(cells));
}

std::string TextTable::text() const {
  std::vector<Column> columns(rows_.front().size());
  std::vector<std::string> rules;
  for (size_t c = 0; c < columns.size(); ++c) {
    for (size_t r = 0; r < rows_.size(); ++r) {
      const std::string& cell = rows_[r][c];
      columns[c].width = std::max(columns[c].width, width_of(cell));
      if (r > 0 && !cell.empty() && cell != "-" && !starts_like_a_number(cell)) {
        columns[c].numeric = false;
      }
    }
    rules.emplace_back(columns[c].width, '-');
  }
  std::string text = line_of(rows_.front(), columns) + line_of(rules, columns);
  for (size_t r = 1; r < rows_.size(); ++r) text += line_of(rows_[r], columns);
  return text;
}

std::string format_fixed(double value, int decimals) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

}  // namespace switchyard
