// JSON files beside a model.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>

namespace switchyard {

/// Reads a file that holds one JSON object. Throws Error(kInput) naming the file, what is wrong and
/// `help`, which says what it is.
boost::json::object read_json_object(const std::string& path, const std::string& help);

/// A token's id. Throws Error(kInput) naming `path` and `token` unless it is an integer from 0 to
/// 2^31 - 1.
int32_t read_token_id(const boost::json::value& value, std::string_view token,
                      const std::string& path);

}  // namespace switchyard
