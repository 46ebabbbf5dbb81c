#include "runtime/checkpoint/given_codes.h"

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr int64_t kGroupStep = 8;  // see GroupQuantization::group

GroupQuantization fp8_codes(const TensorEntry& entry) {
  const int64_t cols = entry.shape.back();
  if (entry.block_cols % kGroupStep == 0) return e4m3_codes(entry.block_cols);
  // A block as wide as the matrix has no neighbour that begins within a step.
  if (entry.block_cols < cols) return {};
  return e4m3_codes((cols + kGroupStep - 1) / kGroupStep * kGroupStep);
}

GroupQuantization codes_of_parts(const TensorEntry& entry) {
  const GroupQuantization codes = given_codes(entry.parts.front());
  for (const TensorEntry& part : entry.parts) {
    if (part.dtype != entry.dtype || given_codes(part) != codes) return {};
  }
  return codes;
}

}  // namespace

GroupQuantization given_codes(const TensorEntry& entry) {
  if (entry.shape.size() != 2) return {};
  if (!entry.parts.empty()) return codes_of_parts(entry);
  switch (entry.encoding) {
    case TensorEncoding::kPlain:
      return {};
    case TensorEncoding::kFp8Block:
      return fp8_codes(entry);
    case TensorEncoding::kMxfp4:
      return mxfp4_codes();
    case TensorEncoding::kPacked:
      return entry.packed_codes;
  }
  return {};
}

WeightSpec code_rows(const TensorEntry& entry) {
  const GroupQuantization codes = given_codes(entry);
  SWITCHYARD_CHECK(codes.is_given());
  return {entry.dtype, entry.shape[0], entry.shape[1], codes};
}

}  // namespace switchyard
