// Small tables of text for people.
#pragma once

#include <string>
#include <vector>

namespace switchyard {

/// Collects rows of cells and prints them in columns: cells that are numbers (with or without a
/// unit) to the right, others to the left.
class TextTable {
 public:
  explicit TextTable(std::vector<std::string> header);

  /// `cells` has one entry per column.
  void add_row(std::vector<std::string> cells);

  /// Header, a rule and the rows; two spaces between columns, every line ends with '\n' and has no
  /// trailing spaces. A column's header stands as its cells do.
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;  // [0] is the header
};

/// `value` with this many decimals, as "12.50".
std::string format_fixed(double value, int decimals);

}  // namespace switchyard
