// Bytes written as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace switchyard {

/// The bytes of a text in base64 (RFC 4648, section 4), padded to a multiple of 4 characters by
/// '='. Nothing if it is not such a text.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace switchyard
