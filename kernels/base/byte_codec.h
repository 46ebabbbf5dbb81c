// Plain binary messages between ranks of one job (one machine type: native byte order).
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {

/// Appends values to a message.
class ByteWriter {
 public:
  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T)); }
  void put_string(std::string_view text) {
    put(static_cast<int64_t>(text.size()));
    bytes_.append(text);
  }
  template <typename T>
  requires std::is_trivially_copyable_v<T>
  void put_vector(const std::vector<T>& values) {
    put(static_cast<int64_t>(values.size()));
    if (!values.empty()) {
      bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    }
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// Takes values from a message in the order they were put. Throws Error(kInternal) past its end.
class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

  template <typename T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value;
    std::memcpy(&value, take(static_cast<int64_t>(sizeof(T))), sizeof(T));
    return value;
  }
  std::string get_string() {
    const int64_t size = get<int64_t>();
    return std::string(take(size), static_cast<size_t>(size));
  }
  template <typename T>
  requires std::is_trivially_copyable_v<T> std::vector<T> get_vector() {
    const int64_t size = get<int64_t>();
    SWITCHYARD_CHECK(size >= 0 && size <= static_cast<int64_t>(rest_.size() / sizeof(T)));
    std::vector<T> values(static_cast<size_t>(size));
    if (size > 0) {
      std::memcpy(values.data(), take(size * static_cast<int64_t>(sizeof(T))),
                  values.size() * sizeof(T));
    }
    return values;
  }
  bool at_end() const { return rest_.empty(); }

 private:
  const char* take(int64_t size) {
    SWITCHYARD_CHECK(size >= 0 && size <= static_cast<int64_t>(rest_.size()),
                     "a message between ranks is cut short");
    const char* begin = rest_.data();
    rest_.remove_prefix(static_cast<size_t>(size));
    return begin;
  }

  std::string_view rest_;
};

}  // namespace switchyard
