// The cases of the reference implementation as their case.json describes them.
#pragma once

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "runtime/run_options.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {

/// One thing to compute and to compare.
struct GoldenCheck {
  std::string folder;  // below the test data
  std::string input;
  boost::json::value expected;              // the name of a file, or the numbers
  std::map<std::string, std::string> args;  // "--capacity" -> "reference"
  boost::json::object tolerance;

  std::string text() const {
    std::string all = folder + "/" + input;
    for (const auto& [name, value] : args) all += " " + name + " " + value;
    return all;
  }

  CapacityOptions capacity() const {
    CapacityOptions capacity;
    if (!args.contains("--capacity") || args.at("--capacity") == "none") return capacity;
    capacity.mode = Capacity::kReference;
    if (args.contains("--capacity-fraction")) {
      capacity.fraction = std::stod(args.at("--capacity-fraction"));
    }
    if (args.contains("--batch-size")) capacity.batch_size = std::stoll(args.at("--batch-size"));
    if (args.contains("--pad-batch-to")) {
      capacity.pad_batch_to = std::stoll(args.at("--pad-batch-to"));
    }
    return capacity;
  }
};

/// The folders of cases below `folder` of the test data, in order.
inline std::vector<std::string> case_folders(const std::string& folder) {
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(test_data(folder))) {
    if (!std::filesystem::exists(entry.path() / "case.json")) continue;
    folders.push_back(folder + "/" + entry.path().filename().string());
  }
  std::ranges::sort(folders);
  return folders;
}

inline std::ostream& operator<<(std::ostream& out, const GoldenCheck& check) {
  return out << check.text();
}

/// The checks of a command in a case, without those whose input or result lies elsewhere.
inline std::vector<GoldenCheck> golden_checks(const std::string& folder,
                                              const std::string& command) {
  namespace json = boost::json;
  std::ifstream file(test_data(folder + "/case.json"));
  const json::value description =
      json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
  std::vector<GoldenCheck> checks;
  for (const json::value& check : description.at("checks").as_array()) {
    if (check.at("command").as_string() != command) continue;
    GoldenCheck golden;
    golden.folder = folder;
    golden.input = json::value_to<std::string>(check.at("input"));
    golden.expected = check.at("expected");
    golden.tolerance = check.at("tolerance").as_object();
    const json::array& args = check.at("args").as_array();
    for (size_t i = 0; i + 1 < args.size(); i += 2) {
      golden.args[json::value_to<std::string>(args[i])] = json::value_to<std::string>(args[i + 1]);
    }
    const bool is_here =
        std::ifstream(test_data(folder + "/" + golden.input)).good() &&
        (!golden.expected.is_string() ||
         std::ifstream(test_data(folder + "/" + golden.expected.as_string().c_str())).good());
    if (is_here) checks.push_back(std::move(golden));
  }
  return checks;
}

}  // namespace switchyard
