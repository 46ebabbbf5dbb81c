// A model's configuration as JSON, with nothing left out.
#pragma once

#include <boost/json/value.hpp>
#include <string>

#include "runtime/model_config.h"

namespace switchyard {

/// Every field of the configuration under its name; reads back as an equal one.
boost::json::value config_to_json(const ModelConfig& config);

/// The configuration of config_to_json(), not validated. Throws Error(kInput) naming `source` and
/// the key for one that is missing, unknown or mistyped.
ModelConfig config_from_json(const boost::json::value& json, const std::string& source);

}  // namespace switchyard
