// Options of a command as a table, read from the command line and from a configuration file.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace switchyard {

/// Must ranks agree on an option's value?
enum class OptionScope {
  kJob,   ///< all ranks of a job are given the same
  kRank,  ///< may differ between ranks: no result depends on it
};

/// May the option be left out?
enum class OptionNeed { kOptional, kRequired };

/// One option: --NAME VALUE on the command line, NAME: VALUE in a configuration file.
struct OptionSpec {
  std::string name;
  /// "DIR", as --help shows it; empty: a switch, --NAME alone or NAME: true.
  std::string value_name = {};
  std::string default_text = {};  // as a user would write it; empty: no default to show
  std::string help;
  /// Stores the value; throws BadValue (kernels/base/value_text.h).
  std::function<void(const std::string&)> set;
  OptionScope scope = OptionScope::kJob;
  OptionNeed need = OptionNeed::kOptional;
};

/// One option's value and where it was given.
struct Assignment {
  std::string name;
  std::string value;
  std::string source;  // empty: the command line; else "in FILE, line N"
};

/// How a message names an option with its source: "--threads" or "threads in FILE, line N".
std::string describe_option(const Assignment& assignment);

class OptionTable;

/// Options that --help shows under one heading.
struct OptionGroup {
  std::string heading;
  std::vector<OptionSpec> options;
  /// Called when all values are stored; throws Error(kUsage) for values that contradict each other.
  std::function<void(const OptionTable&)> check = {};
};

/// What a command line says.
struct ParsedArguments {
  std::vector<Assignment> assignments;  // without --config
  std::string config_path;              // empty: none
  bool wants_help = false;
  bool wants_version = false;
};

/// The options of one command. Refers to the options struct that the specs' `set` write into.
class OptionTable {
 public:
  /// `command` is named in messages, as "score"; `summary` and `groups` make its --help.
  OptionTable(std::string command, std::string summary, std::vector<OptionGroup> groups);

  /// Takes arguments without a name too, each of which `operand` stores; its name stands for them
  /// in messages.
  void take_operands(OptionSpec operand) { operand_ = std::move(operand); }

  const std::string& command() const { return command_; }

  /// Splits the arguments after the command's name. Throws Error(kUsage) for an unknown option
  /// (with the nearest known), one given twice, a missing value or a stray argument.
  ParsedArguments parse_arguments(const std::vector<std::string>& arguments) const;

  /// Reads a flat YAML mapping whose keys are the options' names. `path` is named in messages.
  /// Throws Error(kUsage) for unknown or repeated keys and for values that are not scalars.
  std::vector<Assignment> parse_config(const std::string& text, const std::string& path) const;

  /// Applies the configuration file's assignments, then the command line's. Throws Error(kUsage)
  /// naming option, value, source and what is expected, the required option that is missing, or
  /// what a group's check finds.
  void apply(const std::vector<Assignment>& from_config,
             const std::vector<Assignment>& from_arguments);

  /// What is in force for an option that was given; null where the default is.
  const Assignment* find_given(const std::string& name) const;

  /// Name and value in force of every option, in the table's order; "" where none was given.
  std::vector<std::pair<std::string, std::string>> listing() const;

  /// Names and values in force of the options that all ranks must share, one "NAME VALUE" a line.
  std::string shared_text() const;

  /// The text of --help, with every option's default.
  std::string help_text() const;

 private:
  const OptionSpec* find(const std::string& name) const;
  std::vector<std::string> names() const;
  void set(const Assignment& assignment);
  void require(const OptionSpec& option, const std::string& written) const;

  std::string command_;
  std::string summary_;
  std::vector<OptionGroup> groups_;
  std::optional<OptionSpec> operand_;
  std::vector<Assignment> applied_;  // later ones win
};

/// The first line in which two equally long lists of lines differ, as "LINE of `mine`, not LINE of
/// `other`", for messages.
std::string differing_lines(const std::string& mine, const std::string& other);

/// Reads all of `path`; throws Error(kInput) naming it.
std::string read_config_file(const std::string& path);

}  // namespace switchyard
