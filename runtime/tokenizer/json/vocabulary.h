// Looking up the ids of pieces.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace switchyard {

/// Looks strings up by what is no std::string.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

/// Ids by piece.
using PieceIds = std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>>;

/// What stands for a byte in vocabularies that fall back to bytes: "<0x0A>".
std::string byte_piece(unsigned char byte);

}  // namespace switchyard
