#include "kernels/base/dtype.h"

#include <cstring>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

float load(DType dtype, const char* from, int64_t i) {
  if (dtype == DType::kF32) {
    float value;
    std::memcpy(&value, from + i * 4, 4);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, from + i * 2, 2);
  return dtype == DType::kF16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

void store(DType dtype, char* to, int64_t i, float value) {
  if (dtype == DType::kF32) {
    std::memcpy(to + i * 4, &value, 4);
    return;
  }
  const uint16_t bits = dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value);
  std::memcpy(to + i * 2, &bits, 2);
}

bool is_floating(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "fp32";
    case DType::kF16:
      return "fp16";
    case DType::kBF16:
      return "bf16";
    case DType::kI32:
      return "int32";
    case DType::kI64:
      return "int64";
    case DType::kU8:
      return "uint8";
  }
  return "?";
}

void convert_elements(DType from_dtype, const void* from, DType to_dtype, void* to, int64_t count) {
  if (from_dtype == to_dtype) {
    std::memcpy(to, from, static_cast<size_t>(count * size_of(to_dtype)));
    return;
  }
  SWITCHYARD_CHECK(is_floating(from_dtype) && is_floating(to_dtype), name_of(from_dtype), " to ",
                   name_of(to_dtype));
  const char* source = static_cast<const char*>(from);
  char* target = static_cast<char*>(to);
  for (int64_t i = 0; i < count; ++i) store(to_dtype, target, i, load(from_dtype, source, i));
}

}  // namespace switchyard
