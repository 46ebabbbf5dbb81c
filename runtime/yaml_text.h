// Reading YAML: errors that name the place, and values as JSON has them. For sources of this folder
// that read YAML; headers do not show it.
#pragma once

#include <yaml-cpp/yaml.h>

#include <boost/json/value.hpp>
#include <string>

namespace switchyard {

/// The one document of a text; null for an empty one. `path` is named in messages. Throws
/// Error(kUsage) naming file and line for what is no YAML and for a second document.
YAML::Node parse_yaml(const std::string& text, const std::string& path);

/// "FILE, line N".
std::string yaml_place(const std::string& path, const YAML::Mark& mark);

/// A node as JSON. Plain scalars are null, true, false, whole numbers and numbers where they read
/// so, else texts; quoted ones are texts. Keys must be scalars.
boost::json::value json_of_yaml(const YAML::Node& node);

}  // namespace switchyard
