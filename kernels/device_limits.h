// What a device can do at most, as plain loops and the vendor's libraries show it.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

enum class LimitKind : uint8_t {
  kRead,          ///< reading the device's memory: B/s
  kCopy,          ///< copying inside it: bytes read plus bytes written, B/s
  kHostToDevice,  ///< from pinned host memory: B/s
  kDeviceToHost,  ///< to it: B/s
  kProducts,      ///< multiply-adds of matrices in one arithmetic, two operations each: FLOP/s
};

struct DeviceLimit {
  LimitKind kind = LimitKind::kRead;
  std::string arithmetic;  // of kProducts: "fp32", "tf32", "bf16" or "fp16"
  std::string how;         // as "fused multiply-adds on registers"
  double rate = 0.0;
  double seconds = 0.0;  // that the measurement's run took
};

/// How much is moved and multiplied to measure them.
struct LimitSizes {
  int64_t bytes = 0;   ///< of each buffer; 0: as many as caches do not hold
  int64_t extent = 0;  ///< of square matrices; 0: as large as serves
  int repeats = 5;     ///< of which the best counts
};

}  // namespace switchyard
