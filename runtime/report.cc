#include "runtime/report.h"

#include <algorithm>
#include <utility>

#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "kernels/base/text_table.h"
#include "runtime/checkpoint/checkpoint.h"
#include "runtime/requests/json_text.h"

namespace switchyard {
namespace {

void append_json(const ReportValue& value, std::string& out) {
  if (const auto* number = std::get_if<int64_t>(&value.value)) {
    out += std::to_string(*number);
  } else if (const auto* real = std::get_if<double>(&value.value)) {
    append_json_number(*real, out);
  } else if (const auto* list = std::get_if<std::vector<int64_t>>(&value.value)) {
    out += shape_text(*list, ",");
  } else {
    append_json_string(std::get<std::string>(value.value), out);
  }
}

/// "NAME": value, after what stands before it in its object.
void append_member(const std::string& name, const ReportValue& value, std::string& out) {
  if (!out.ends_with('{')) out += ',';
  append_json_string(name, out);
  out += ':';
  append_json(value, out);
}

void append_json(const ReportSection& section, std::string& out) {
  const bool is_object = section.form == ReportSection::Form::kFacts;
  out += is_object ? "{" : "[";
  for (const std::vector<ReportValue>& row : section.rows) {
    if (is_object) {
      append_member(std::get<std::string>(row[0].value), row[1], out);
      continue;
    }
    if (!out.ends_with('[')) out += ',';
    if (section.form == ReportSection::Form::kLines) {
      append_json(row[0], out);
      continue;
    }
    out += '{';
    for (size_t c = 0; c < row.size(); ++c) append_member(section.columns[c], row[c], out);
    out += '}';
  }
  out += is_object ? "}" : "]";
}

std::string shown(std::string name) {
  std::ranges::replace(name, '_', ' ');
  return name;
}

std::string table_text(const ReportSection& section) {
  std::vector<std::string> header = section.columns;
  std::ranges::transform(header, header.begin(), shown);
  TextTable table(header);
  for (const std::vector<ReportValue>& row : section.rows) {
    std::vector<std::string> cells;
    for (const ReportValue& value : row) cells.push_back(value.text);
    table.add_row(std::move(cells));
  }
  return table.text();
}

std::string lines_text(const ReportSection& section) {
  std::string text;
  for (const std::vector<ReportValue>& row : section.rows) text += row[0].text + "\n";
  return text;
}

}  // namespace

ReportValue::ReportValue(std::vector<int64_t> numbers)
    : value(numbers), text(shape_text(numbers)) {}

ReportValue float_value(float number) {
  std::string text;
  append_json_number(number, text);
  return {std::stod(text), text};
}

ReportValue byte_value(int64_t bytes) { return {bytes, format_byte_size(bytes)}; }

void ReportSection::add_fact(const std::string& name, ReportValue its_value) {
  ReportValue label(name);
  label.text = shown(name);
  rows.push_back({std::move(label), std::move(its_value)});
}

ReportSection make_facts(const std::string& key, const std::string& title) {
  return {key, title, ReportSection::Form::kFacts, {key, ""}, {}};
}

std::string format_report(const std::vector<ReportSection>& sections, ResultForm form) {
  if (form == ResultForm::kJson) {
    std::string out = "{";
    for (const ReportSection& section : sections) {
      if (!out.ends_with('{')) out += ',';
      append_json_string(section.key, out);
      out += ':';
      append_json(section, out);
    }
    return out + "}\n";
  }
  std::string out;
  for (const ReportSection& section : sections) {
    if (section.rows.empty()) continue;
    if (!out.empty()) out += '\n';
    if (!section.title.empty()) out += section.title + "\n";
    out += section.form == ReportSection::Form::kLines ? lines_text(section) : table_text(section);
  }
  return out;
}

}  // namespace switchyard
