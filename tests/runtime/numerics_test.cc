// Which arithmetic class a job agrees on.
#include "runtime/numerics.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/log.h"
#include "kernels/cpu/cpu_backend.h"
#include "parallel/thread_communicator.h"

namespace switchyard {
namespace {

/// Offers what a GPU does, and computes as the CPU whatever is chosen.
class OfferingBackend final : public CpuBackendBase {
 public:
  explicit OfferingBackend(bool is_exact)
      : CpuBackendBase(InstructionSet::kAuto, 1),
        memory_(InstructionSet::kAuto, 1),
        is_exact_(is_exact) {}

  std::string description() const override { return "offering"; }
  std::vector<ArithmeticClass> arithmetic_classes() const override {
    return {{"cpu-fp32", Arithmetic::kFp32, "panel32-1"},
            {"gpu-bf16", Arithmetic::kBf16, "panel32-1"},
            {"gpu-fp16", Arithmetic::kFp16, "panel32-1"},
            {"gpu-bf16-fast", Arithmetic::kBf16, "rows-1", true},
            {"gpu-fp16-fast", Arithmetic::kFp16, "rows-1", true}};
  }
  void use(const ArithmeticClass& chosen) override {
    if (chosen.arithmetic != Arithmetic::kFp32 && !is_exact_) fail_resource("other numbers");
    used = chosen.name;
  }
  DeviceBuffer allocate(int64_t bytes) override { return memory_.allocate(bytes); }
  Stream make_stream(StreamKind kind) override { return memory_.make_stream(kind); }
  void* host_address(const void* pointer) const override { return const_cast<void*>(pointer); }

  std::string used;

 private:
  void* resolve(const void* pointer, int64_t) const override { return const_cast<void*>(pointer); }
  bool is_device_only(const void*) const override { return false; }

  CpuBackend memory_;
  const bool is_exact_;
};

/// A checkpoint with a matrix of each type.
Checkpoint checkpoint_of(const std::vector<DType>& types) {
  Checkpoint checkpoint;
  checkpoint.directory = "model";
  checkpoint.config.weight_typing = WeightTyping::kAsStored;
  for (const DType type : types) {
    TensorEntry& entry =
        checkpoint.index.tensors[concat("matrix", checkpoint.index.tensors.size())];
    entry.dtype = type;
    entry.shape = {64, 64};
  }
  return checkpoint;
}

/// The class that two ranks agree on, of which the second's device may not be exact; or the error.
std::string agreed(const std::string& requested, const Checkpoint& checkpoint,
                   bool is_second_exact = true) {
  set_log_level(LogLevel::kError);
  ThreadWorld world(2);
  std::vector<std::string> results(2);
  const auto run = [&](int rank) {
    OfferingBackend backend(rank == 0 || is_second_exact);
    const auto communicator = world.communicator(rank, backend);
    ControlChannel control(backend, *communicator);
    std::string& result = results[static_cast<size_t>(rank)];
    try {
      result = agree_on_numerics(requested, backend, checkpoint, control).arithmetic_class;
      EXPECT_EQ(result, backend.used);
    } catch (const AgreedError& error) {
      result = error.what();
    }
  };
  {
    std::jthread second([&] { run(1); });
    run(0);
  }
  EXPECT_EQ(results[0], results[1]);
  return results[0];
}

TEST(Numerics, AutoTakesTheExactClassOfTheMatrices) {
  EXPECT_EQ(agreed("auto", checkpoint_of({DType::kBF16, DType::kBF16})), "gpu-bf16");
  EXPECT_EQ(agreed("auto", checkpoint_of({DType::kF16})), "gpu-fp16");
  EXPECT_EQ(agreed("auto", checkpoint_of({DType::kF16, DType::kBF16})), "cpu-fp32");
  EXPECT_EQ(agreed("auto", checkpoint_of({DType::kF32})), "cpu-fp32");
}

TEST(Numerics, MatricesOfFp8HaveNoSay) {
  Checkpoint checkpoint = checkpoint_of({DType::kBF16, DType::kF32});
  TensorEntry& entry = checkpoint.index.tensors.at("matrix1");
  entry.encoding = TensorEncoding::kFp8Block;
  entry.block_cols = 128;
  EXPECT_EQ(agreed("auto", checkpoint), "gpu-bf16");
}

TEST(Numerics, ConvertedCheckpointsTakeTheClassThatReadsTheirPacking) {
  Checkpoint checkpoint = checkpoint_of({DType::kF16});
  checkpoint.native.emplace();
  checkpoint.native->packing = "panel32-1";
  EXPECT_EQ(agreed("auto", checkpoint), "gpu-fp16");
  checkpoint.native->packing = "panel16-9";
  EXPECT_EQ(agreed("auto", checkpoint), "cpu-fp32");
}

TEST(Numerics, FastIsTheLibraryInTheMatricesType) {
  EXPECT_EQ(agreed("fast", checkpoint_of({DType::kF16})), "gpu-fp16-fast");
  EXPECT_EQ(agreed("bf16-fast", checkpoint_of({DType::kF16})), "gpu-bf16-fast");
  EXPECT_EQ(agreed("bf16", checkpoint_of({DType::kF16})), "gpu-bf16");
  EXPECT_NE(agreed("fast", checkpoint_of({DType::kF32})).find("choose bf16-fast"),
            std::string::npos);
}

TEST(Numerics, AutoFallsBackWhereADeviceCannotKeepItsPromise) {
  const Checkpoint checkpoint = checkpoint_of({DType::kF16});
  EXPECT_EQ(agreed("auto", checkpoint, false), "cpu-fp32");
  EXPECT_NE(agreed("fp16", checkpoint, false).find("other numbers"), std::string::npos);
}

}  // namespace
}  // namespace switchyard
