// A hash of small numbers.
#pragma once

#include <cstdint>

namespace switchyard {

/// Spreads the bits of a number over all bits: one step of splitmix64 (Steele, Lea and Flood 2014).
inline uint64_t mix_bits(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

}  // namespace switchyard
