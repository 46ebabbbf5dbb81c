// Safetensors files for tests, written as they are told, true or not.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {

/// A file with this header and these bytes of data.
inline std::string safetensors(const std::string& header, const std::string& data) {
  const auto length = static_cast<uint64_t>(header.size());
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

/// A tensor of a file whose members agree.
struct StoredTensor {
  std::string name;
  std::string type;
  std::vector<int64_t> shape;
  std::string data;
};

/// A well-formed file of the tensors.
inline std::string safetensors(const std::vector<StoredTensor>& tensors) {
  std::string header;
  std::string data;
  for (const StoredTensor& tensor : tensors) {
    std::string shape;
    for (const int64_t size : tensor.shape) shape += concat(shape.empty() ? "" : ",", size);
    header += concat(header.empty() ? "{" : ",", '"', tensor.name, R"(":{"dtype":")", tensor.type,
                     R"(","shape":[)", shape, R"(],"data_offsets":[)", data.size(), ",",
                     data.size() + tensor.data.size(), "]}");
    data += tensor.data;
  }
  return safetensors(header.empty() ? "{}" : header + "}", data);
}

/// The bytes of numbers, one after another.
template <typename T>
std::string bytes_of(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

}  // namespace switchyard
