// What tests of operations share: devices of every kind and data for them.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/instruction_set.h"

namespace switchyard::testing {

/// A backend with one compute stream.
class TestDevice {
 public:
  explicit TestDevice(const BackendOptions& options)
      : backend_(make_backend(options)), stream_(backend_->make_stream(StreamKind::kCompute)) {}

  Backend& backend() { return *backend_; }
  Stream& stream() { return stream_; }
  /// Waits for the stream; rethrows its error.
  void finish() { backend_->record(stream_).synchronize(); }

  template <typename T>
  Tensor put(const std::vector<T>& values, Shape shape) {
    Tensor tensor = backend_->allocate_tensor(dtype_of(T()), shape);
    backend_->copy_to_device(stream_, values.data(), tensor.view());
    finish();
    return tensor;
  }
  Tensor make(DType dtype, Shape shape) { return backend_->allocate_tensor(dtype, shape); }
  Tensor make(Shape shape) { return make(DType::kF32, shape); }

  template <typename T>
  std::vector<T> get(const TensorView& view) {
    std::vector<T> values(static_cast<size_t>(view.shape.num_elements()));
    backend_->copy_to_host(stream_, view, values.data());
    finish();
    return values;
  }
  std::vector<float> get(const Tensor& tensor) { return get<float>(tensor.view()); }

  /// Packs row-major numbers as a weight of `dtype`; `owner` receives its memory.
  Weight put_weight(const std::vector<float>& values, WeightSpec spec, DeviceBuffer& owner) {
    std::vector<char> stored(static_cast<size_t>(spec.source_bytes()));
    convert_elements(DType::kF32, values.data(), spec.dtype, stored.data(), spec.rows * spec.cols);
    return put_rows(stored, spec, owner);
  }

  /// Packs rows as pack_weight takes them.
  Weight put_rows(const std::vector<char>& rows, const WeightSpec& spec, DeviceBuffer& owner) {
    owner = backend_->allocate(backend_->packed_bytes(spec));
    const Weight weight{spec, owner.data()};
    backend_->pack_weight(stream_, rows.data(), 0, spec.rows, weight);
    finish();
    return weight;
  }

 private:
  static DType dtype_of(float) { return DType::kF32; }
  static DType dtype_of(int32_t) { return DType::kI32; }

  std::unique_ptr<Backend> backend_;
  Stream stream_;
};

/// Every instruction set of this machine at some number of threads, the strict backend, and a GPU
/// (in the CPU's arithmetic) where this program and machine have one.
inline std::vector<BackendOptions> all_variants() {
  std::vector<BackendOptions> variants;
  int num_threads = 1;
  for (const auto set :
       {InstructionSet::kPortable, InstructionSet::kAvx2, InstructionSet::kAvx512}) {
    if (is_supported(set)) variants.push_back({BackendKind::kCpu, set, num_threads++, 1});
  }
  variants.push_back({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  variants.push_back({BackendKind::kCpu, InstructionSet::kAuto, 2, 1});
  variants.push_back({BackendKind::kStrict, InstructionSet::kAuto, 3, 7});
  if (has_backend(BackendKind::kCuda)) variants.push_back({.kind = BackendKind::kCuda});
  return variants;
}

/// Fails unless all bits agree; a NaN equals a NaN, for payloads differ by machine.
inline void expect_same_bits(const std::vector<float>& expected, const std::vector<float>& actual,
                             const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  for (size_t i = 0; i < expected.size(); ++i) {
    if (expected[i] != expected[i] && actual[i] != actual[i]) continue;
    ASSERT_EQ(std::bit_cast<uint32_t>(expected[i]), std::bit_cast<uint32_t>(actual[i]))
        << what << ", element " << i << ": " << expected[i] << " and " << actual[i];
  }
}

/// Calls run(device) on every variant; all must return the same bits. Returns them.
template <typename Run>
std::vector<float> same_on_all_variants(const Run& run) {
  std::vector<float> first;
  for (const BackendOptions& options : all_variants()) {
    TestDevice device(options);
    const std::vector<float> result = run(device);
    if (first.empty()) first = result;
    expect_same_bits(first, result, device.backend().description());
  }
  return first;
}

/// `count` numbers in [-scale, scale), the same for a seed on every machine.
inline std::vector<float> random_floats(int64_t count, uint32_t seed, float scale = 1.0f) {
  std::mt19937 generator(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = (static_cast<float>(generator() >> 8) * 0x1p-23f - 1.0f) * scale;
  }
  return values;
}

/// Appends, so that a run can return several tensors.
inline void append(std::vector<float>& to, const std::vector<float>& values) {
  to.insert(to.end(), values.begin(), values.end());
}

/// Runs `call`, which must throw an Error whose message holds `part`.
template <typename Call>
void expect_error(const Call& call, ErrorKind kind, const std::string& part) {
  try {
    call();
    FAIL() << "no error; expected one with '" << part << "'";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

}  // namespace switchyard::testing
