// Sizes in bytes as people write them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace switchyard {

/// Reads a whole number of bytes, alone or with the unit B, KiB, MiB, GiB or TiB and an optional
/// space before it, as "65536", "64KiB" or "1 GiB". Empty when the text is anything else or the
/// size is above 2^63 - 1.
std::optional<int64_t> parse_byte_size(std::string_view text);

/// "512 B", "64.0 KiB", "1.5 GiB": for people, one decimal, units of 1024.
std::string format_byte_size(int64_t bytes);

}  // namespace switchyard
