// What a command found out, for people and for programs.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "runtime/result_form.h"

namespace switchyard {

/// One value: as a program reads it and, where that differs, as people do.
struct ReportValue {
  ReportValue(int64_t number) : value(number), text(std::to_string(number)) {}
  ReportValue(int64_t number, std::string shown) : value(number), text(std::move(shown)) {}
  ReportValue(double number, std::string shown) : value(number), text(std::move(shown)) {}
  ReportValue(std::string words) : value(words), text(std::move(words)) {}
  ReportValue(const char* words) : ReportValue(std::string(words)) {}
  ReportValue(std::string words, std::string shown)
      : value(std::move(words)), text(std::move(shown)) {}
  /// Numbers in brackets.
  ReportValue(std::vector<int64_t> numbers);

  std::variant<int64_t, double, std::string, std::vector<int64_t>> value;
  std::string text;
};

/// A count of bytes, shown with a unit.
ReportValue byte_value(int64_t bytes);
/// A setting of the model, shown as the shortest text of its fp32.
ReportValue float_value(float number);

/// A heading with facts, rows of a table, or plain lines below it.
struct ReportSection {
  enum class Form : uint8_t {
    kFacts,  ///< two columns, names and values: a JSON object
    kRows,   ///< a JSON list of objects with the columns' names as keys
    kLines,  ///< one column: a JSON list
  };
  std::string key;    // in JSON
  std::string title;  // for people; empty: none
  Form form = Form::kFacts;
  std::vector<std::string> columns;  // with underscores; blanks for people
  std::vector<std::vector<ReportValue>> rows;

  /// A fact under a name of ours, whose underscores people see as blanks.
  void add_fact(const std::string& name, ReportValue its_value);
};

/// A section of facts.
ReportSection make_facts(const std::string& key, const std::string& title);

/// All sections one behind the other, those without rows left out; or one JSON object of all in one
/// line. Ends with a line end.
std::string format_report(const std::vector<ReportSection>& sections, ResultForm form);

}  // namespace switchyard
