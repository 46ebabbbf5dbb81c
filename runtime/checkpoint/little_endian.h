// Numbers as files hold them.
#pragma once

#include <bit>
#include <cstring>
#include <string>

namespace switchyard {

/// Appends the bytes of an integer, lowest first.
template <typename T>
void append_little_endian(T value, std::string& bytes) {
  static_assert(std::endian::native == std::endian::little, "files are little-endian");
  char raw[sizeof(T)];
  std::memcpy(raw, &value, sizeof(T));
  bytes.append(raw, sizeof(T));
}

}  // namespace switchyard
