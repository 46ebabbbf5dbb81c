// Matrices in the form the backend computes with.
#pragma once

#include <cstdint>

#include "kernels/tensor.h"

namespace switchyard {

/// What a code stands for, and how it is scaled.
enum class CodeType : uint8_t {
  kInteger,  ///< 0 to 2^bits - 1, times a scale plus an offset; found by pack_weight
  kE4m3,     ///< a float of 8 bits (OCP FP8: no infinities, S.1111.111 is NaN) times an fp32 scale
  /// A float of 4 bits (0, .5, 1, 1.5, 2, 3, 4, 6 and their negatives) times a power of two, E8M0
  /// (OCP microscaling formats, MXFP4).
  kE2m1,
};

/// How a matrix is kept in fewer bits: the inputs of each row stand in groups of `group` (the last
/// may be shorter), each with a scale of its own. Rows do not depend on each other.
struct GroupQuantization {
  int bits = 0;       // of a code: 8, 4, 3 or 2; 0: the matrix is kept as its dtype says
  int64_t group = 0;  // inputs, a multiple of 8
  CodeType codes = CodeType::kInteger;

  bool is_on() const { return bits != 0; }
  /// Codes and scales are given to pack_weight, which loses nothing.
  bool is_given() const { return codes != CodeType::kInteger; }
  friend bool operator==(const GroupQuantization&, const GroupQuantization&) = default;
};

/// Codes of the checkpoint, whose blocks are `group` inputs wide.
inline constexpr GroupQuantization e4m3_codes(int64_t group) { return {8, group, CodeType::kE4m3}; }
inline constexpr GroupQuantization mxfp4_codes() { return {4, 32, CodeType::kE2m1}; }

/// What a matrix is, as the checkpoint describes it: `rows` x `cols` = [N, K] (out, in), row-major.
struct WeightSpec {
  DType dtype = DType::kF32;  // of the elements; pack_weight is given these or their codes
  int64_t rows = 0;           // N
  int64_t cols = 0;           // K
  GroupQuantization quantization = {};

  /// Bytes of a row as pack_weight is given it: its elements, or where codes are given the codes,
  /// the first input in the lowest bits, and behind them the scales of its groups: of kE4m3 fp32,
  /// of kE2m1 a byte each, the exponent plus 127.
  int64_t source_row_bytes() const {
    if (!quantization.is_given()) return cols * size_of(dtype);
    const int64_t groups = (cols + quantization.group - 1) / quantization.group;
    return code_bytes() + groups * (quantization.codes == CodeType::kE4m3 ? 4 : 1);
  }
  int64_t source_bytes() const { return rows * source_row_bytes(); }
  /// Bytes of a row's codes.
  int64_t code_bytes() const { return (cols * quantization.bits + 7) / 8; }
  friend bool operator==(const WeightSpec&, const WeightSpec&) = default;
};

/// A packed matrix. Opaque: the Backend packs it (Backend::pack_weight) and consumes it; nobody
/// else looks inside `data`. A view: whoever allocated Backend::packed_bytes(spec) owns it.
struct Weight {
  WeightSpec spec;
  void* data = nullptr;
};

/// One expert's feed-forward weights as a cache slot holds them. A null bias is absent.
struct ExpertWeights {
  Weight up;             // [F, D], with a gate [2 F, D]: see GluLayout
  TensorView up_bias;    // [rows of up] fp32
  Weight down;           // [D, F]
  TensorView down_bias;  // [D] fp32
};

}  // namespace switchyard
