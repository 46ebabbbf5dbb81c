// Which steps are recorded, and what becomes of them.
#include "runtime/step_graphs.h"

#include <gtest/gtest.h>

#include <vector>

namespace switchyard {
namespace {

using Done = StepGraphs::Done;

/// Steps that double a number and note what the host does between two doublings.
class StepGraphsTest : public testing::Test {
 protected:
  StepGraphsTest() {
    const float one = 1.0f;
    const float zero = 0.0f;
    backend_->copy_to_device(compute_, &one, number_.view());
    backend_->copy_to_device(compute_, &zero, zero_.view());
    backend_->record(compute_).synchronize();
  }

  Done run(const DecodeShape& shape, int64_t step) {
    return graphs_.run(shape, step, [&] {
      ++num_enqueued_;
      add_to_itself();
      const auto act = [this](int64_t of_step) { actions_.push_back(of_step); };
      recorder_.is_recording() ? recorder_.interrupt(act) : act(step);
      add_to_itself();
    });
  }
  /// x = x + x: combine() of no experts' rows, with a shared expert.
  void add_to_itself() {
    CombineArgs args;
    args.expert_rows = zero_.view();
    args.topk_idx = none_.view();
    args.topk_weights = zero_.view();
    args.residual = number_.view();
    args.shared = number_.view();
    args.out = sum_.view();
    backend_->combine(compute_, args);
    backend_->gather_rows(compute_, {sum_.view(), first_.view(), number_.view()});
  }
  float number() {
    float value = 0.0f;
    backend_->copy_to_host(compute_, number_.view(), &value);
    backend_->record(compute_).synchronize();
    return value;
  }
  Tensor put(int32_t value, Shape shape) {
    Tensor tensor = backend_->allocate_tensor(DType::kI32, shape);
    backend_->copy_to_device(compute_, &value, tensor.view());
    backend_->record(compute_).synchronize();
    return tensor;
  }

  std::unique_ptr<Backend> backend_ = make_backend({.kind = BackendKind::kStrict});
  Stream compute_ = backend_->make_stream(StreamKind::kCompute);
  PhaseClock clock_{*backend_, compute_};
  GraphRecorder recorder_{*backend_, compute_};
  StepGraphs graphs_{recorder_, *backend_, compute_, clock_};
  Tensor number_ = backend_->allocate_tensor(DType::kF32, {1, 1});
  Tensor sum_ = backend_->allocate_tensor(DType::kF32, {1, 1});
  Tensor none_ = put(-1, {1, 1});
  Tensor zero_ = backend_->allocate_tensor(DType::kF32, {1, 1});
  Tensor first_ = put(0, {1});
  int num_enqueued_ = 0;
  std::vector<int64_t> actions_;
};

TEST_F(StepGraphsTest, TheSecondOfAShapeIsRecordedAndTheThirdLaunched) {
  EXPECT_EQ(run({1, 1, 16}, 5), Done::kEnqueued);
  EXPECT_EQ(number(), 4.0f);
  EXPECT_EQ(run({1, 1, 16}, 6), Done::kRecorded);
  EXPECT_EQ(number(), 16.0f);
  EXPECT_EQ(run({1, 1, 16}, 7), Done::kLaunched);
  EXPECT_EQ(number(), 64.0f);
  EXPECT_EQ(run({2, 2, 16}, 8), Done::kEnqueued);
  EXPECT_EQ(run({1, 1, 16}, 9), Done::kLaunched);
  EXPECT_EQ(number(), 1024.0f);
  EXPECT_EQ(num_enqueued_, 3);
  EXPECT_EQ(graphs_.num_launched(), 3);
  EXPECT_EQ(actions_, (std::vector<int64_t>{5, 6, 7, 8, 9}));
}

TEST_F(StepGraphsTest, TheShapesSeenLongestAgoAreForgotten) {
  const auto most = static_cast<int64_t>(StepGraphs::kMostShapes);
  const auto run_twice = [&](int64_t rows) {
    EXPECT_EQ(run({rows, rows, 16}, 0), Done::kEnqueued);
    EXPECT_EQ(run({rows, rows, 16}, 0), Done::kRecorded);
  };
  for (int64_t rows = 1; rows <= most; ++rows) run_twice(rows);
  EXPECT_EQ(run({1, 1, 16}, 0), Done::kLaunched);
  run_twice(most + 1);
  EXPECT_EQ(run({1, 1, 16}, 0), Done::kLaunched);
  EXPECT_EQ(run({2, 2, 16}, 0), Done::kEnqueued);
}

TEST_F(StepGraphsTest, ShapesThatAreSeenOnceDisplaceNoRecordedOnes) {
  run({1, 1, 16}, 0);
  EXPECT_EQ(run({1, 1, 16}, 0), Done::kRecorded);
  const auto most = static_cast<int64_t>(StepGraphs::kMostSeen);
  for (int64_t rows = 2; rows <= most + 2; ++rows) run({1, rows, 16}, 0);
  EXPECT_EQ(run({1, 1, 16}, 0), Done::kLaunched);
  EXPECT_EQ(run({1, 2, 16}, 0), Done::kEnqueued) << "forgotten";
  EXPECT_EQ(run({1, most, 16}, 0), Done::kRecorded);
}

TEST_F(StepGraphsTest, AFailureWhileRecordingEndsTheRecording) {
  run({1, 1, 16}, 0);
  EXPECT_THROW(graphs_.run({1, 1, 16}, 1, [] { throw Error(ErrorKind::kResource, "no more"); }),
               Error);
  EXPECT_FALSE(recorder_.is_recording());
  EXPECT_EQ(run({1, 1, 16}, 2), Done::kRecorded);
}

}  // namespace
}  // namespace switchyard
