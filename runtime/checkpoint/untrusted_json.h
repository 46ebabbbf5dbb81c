// JSON from files that nobody vouches for.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <string>
#include <string_view>

namespace switchyard {

/// Bounds of what a JSON text may make its reader hold; a value takes about 100 bytes with its key.
struct JsonLimits {
  size_t max_depth = 32;
  size_t max_values = size_t{4} << 20;
  size_t max_key_bytes = 1024;
};

/// Parses a text of one JSON value. Throws Error(kInput) that starts with `source` for what is no
/// JSON or no UTF-8, for an object with a key twice (which readers that keep one of the two take
/// for different things), and for more than the limits.
boost::json::value parse_untrusted_json(std::string_view text, const std::string& source,
                                        const JsonLimits& limits = {});

}  // namespace switchyard
