#include "launch/option_table.h"

#include <algorithm>
#include <boost/program_options.hpp>
#include <set>
#include <sstream>

#include "kernels/base/error.h"
#include "kernels/base/nearest_name.h"
#include "launch/option_values.h"

namespace switchyard {
namespace {

namespace po = boost::program_options;

constexpr char kConfig[] = "config";
constexpr char kHelp[] = "help";
constexpr char kVersion[] = "version";
constexpr unsigned kHelpColumns = 100;

void add_option(po::options_description& group, const OptionSpec& option) {
  std::string help = option.help;
  if (option.need == OptionNeed::kRequired) help += " (required)";
  if (!option.default_text.empty()) help += " [default: " + option.default_text + "]";
  if (option.value_name.empty()) {
    group.add_options()(option.name.c_str(), help.c_str());
  } else {
    group.add_options()(option.name.c_str(),
                        po::value<std::string>()->value_name(option.value_name), help.c_str());
  }
}

po::options_description describe(const std::vector<OptionGroup>& groups) {
  po::options_description all("", kHelpColumns, kHelpColumns / 2);
  for (const OptionGroup& group : groups) {
    po::options_description part(group.heading, kHelpColumns, kHelpColumns / 2);
    for (const OptionSpec& option : group.options) add_option(part, option);
    all.add(part);
  }
  po::options_description general("General", kHelpColumns, kHelpColumns / 2);
  general.add_options()(kConfig, po::value<std::string>()->value_name("FILE.yaml"),
                        "values for these options, by the same names; the command line wins");
  general.add_options()(kHelp, "this text");
  general.add_options()(kVersion, "version and features of this build");
  all.add(general);
  return all;
}

/// Only --name VALUE and --name=VALUE: a value may then begin with a dash, as "-" and "-1" do.
constexpr int kStyle = po::command_line_style::allow_long |
                       po::command_line_style::long_allow_adjacent |
                       po::command_line_style::long_allow_next;

}  // namespace

OptionTable::OptionTable(std::string command, std::string summary, std::vector<OptionGroup> groups)
    : command_(std::move(command)), summary_(std::move(summary)), groups_(std::move(groups)) {}

ParsedArguments OptionTable::parse_arguments(const std::vector<std::string>& arguments) const {
  const po::options_description description = describe(groups_);
  const std::string see = concat("; 'switchyard ", command_, " --help' lists the options");
  po::parsed_options parsed(&description);
  try {
    parsed = po::command_line_parser(arguments).options(description).style(kStyle).run();
  } catch (const po::unknown_option& error) {
    const std::string name = error.get_option_name();
    const std::string bare = name.substr(std::min(name.find_first_not_of('-'), name.size()));
    std::vector<std::string> known = names();
    known.insert(known.end(), {kConfig, kHelp, kVersion});
    fail_usage("unknown option '--", bare, "'", suggestion(bare, known, "--"), see);
  } catch (const po::error_with_option_name& error) {
    fail_usage(error.what(), see);
  }
  ParsedArguments result;
  std::set<std::string> seen;
  for (const po::option& option : parsed.options) {
    if (option.position_key >= 0 && operand_) {
      result.assignments.push_back({operand_->name, option.value.front(), ""});
      continue;
    }
    if (option.position_key >= 0) {
      fail_usage("unexpected argument '", option.value.front(),
                 "'; options are written --name value", see);
    }
    const std::string& name = option.string_key;
    if (!seen.insert(name).second) fail_usage("--", name, " is given twice; give it once");
    if (name == kHelp) {
      result.wants_help = true;
    } else if (name == kVersion) {
      result.wants_version = true;
    } else if (name == kConfig) {
      result.config_path = option.value.front();
    } else {
      const bool is_switch = find(name)->value_name.empty();
      result.assignments.push_back({name, is_switch ? "true" : option.value.front(), ""});
    }
  }
  return result;
}

void OptionTable::apply(const std::vector<Assignment>& from_config,
                        const std::vector<Assignment>& from_arguments) {
  for (const Assignment& assignment : from_config) set(assignment);
  for (const Assignment& assignment : from_arguments) set(assignment);
  if (operand_) require(*operand_, operand_->value_name);
  for (const OptionGroup& group : groups_) {
    for (const OptionSpec& option : group.options) {
      require(option, concat("--", option.name, " ", option.value_name));
    }
  }
  for (const OptionGroup& group : groups_) {
    if (group.check) group.check(*this);
  }
}

void OptionTable::require(const OptionSpec& option, const std::string& written) const {
  if (option.need != OptionNeed::kRequired || find_given(option.name) != nullptr) return;
  fail_usage(command_, " needs ", written, ": ", option.help, "; 'switchyard ", command_,
             " --help' lists the options");
}

const Assignment* OptionTable::find_given(const std::string& name) const {
  const auto given = std::find_if(applied_.rbegin(), applied_.rend(),
                                  [&](const Assignment& a) { return a.name == name; });
  return given == applied_.rend() ? nullptr : &*given;
}

void OptionTable::set(const Assignment& assignment) {
  const bool is_operand = operand_ && operand_->name == assignment.name;
  const OptionSpec* option = is_operand ? &*operand_ : find(assignment.name);
  SWITCHYARD_CHECK(option != nullptr, assignment.name);
  try {
    option->set(assignment.value);
  } catch (const BadValue& bad) {
    const bool has_dashes = assignment.source.empty() && !is_operand;
    fail_usage(has_dashes ? "--" : "", assignment.name, " is '", assignment.value, "'",
               assignment.source.empty() ? "" : " ", assignment.source, "; expected ", bad.what());
  }
  applied_.push_back(assignment);
}

const OptionSpec* OptionTable::find(const std::string& name) const {
  for (const OptionGroup& group : groups_) {
    for (const OptionSpec& option : group.options) {
      if (option.name == name) return &option;
    }
  }
  return nullptr;
}

std::vector<std::string> OptionTable::names() const {
  std::vector<std::string> names;
  for (const OptionGroup& group : groups_) {
    for (const OptionSpec& option : group.options) names.push_back(option.name);
  }
  return names;
}

std::vector<std::pair<std::string, std::string>> OptionTable::listing() const {
  std::vector<std::pair<std::string, std::string>> listing;
  for (const OptionGroup& group : groups_) {
    for (const OptionSpec& option : group.options) {
      const Assignment* given = find_given(option.name);
      listing.emplace_back(option.name, given ? given->value : option.default_text);
    }
  }
  return listing;
}

std::string OptionTable::shared_text() const {
  std::string text;
  for (const auto& [name, value] : listing()) {
    if (find(name)->scope == OptionScope::kJob) text += concat(name, " ", value, "\n");
  }
  for (const Assignment& given : applied_) {
    if (operand_ && given.name == operand_->name)
      text += concat(given.name, " ", given.value, "\n");
  }
  return text;
}

std::string OptionTable::help_text() const {
  std::ostringstream text;
  text << "switchyard " << command_ << ": " << summary_ << "\n";
  if (operand_) {
    text << "\nusage: switchyard " << command_ << " " << operand_->value_name
         << " [--OPTION VALUE ...]\n  " << operand_->value_name << "  " << operand_->help << "\n\n";
  }
  text << describe(groups_);
  return std::move(text).str();
}

std::string describe_option(const Assignment& assignment) {
  return assignment.source.empty() ? "--" + assignment.name
                                   : concat(assignment.name, " ", assignment.source);
}

std::string differing_lines(const std::string& mine, const std::string& other) {
  std::istringstream my_lines(mine), other_lines(other);
  std::string my_line, other_line;
  while (std::getline(my_lines, my_line) && std::getline(other_lines, other_line)) {
    if (my_line != other_line) return concat("'", my_line, "', not '", other_line, "'");
  }
  return "different options";
}

}  // namespace switchyard
