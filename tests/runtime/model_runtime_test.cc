// What a rank plans, allocates and loads.
#include "runtime/model_runtime.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>

#include "parallel/thread_communicator.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

RuntimeSettings small_settings() {
  RuntimeSettings settings;
  settings.max_batch_tokens = 100;
  settings.longest_sequence = 50;
  settings.exchange_buffer_bytes = 100000;
  return settings;
}

TEST(ModelRuntime, EveryByteOfTheModelIsReadOncePerCluster) {
  set_log_level(LogLevel::kError);
  for (const char* model : {"trained_moe_8e", "fairseq/arch_odd_sizes", "fairseq/dense_fp32"}) {
    for (const int ranks : {1, 2, 3, 16}) {
      std::atomic<int64_t> read{0};
      std::atomic<int64_t> needed{0};
      run_ranks(ranks, {}, {}, [&](Backend& backend, Communicator& world) {
        ControlChannel control(backend, world);
        const Checkpoint checkpoint = open_checkpoint(test_data(model), control);
        TensorReader reader(checkpoint.index);
        const ModelRuntime runtime(checkpoint, reader, small_settings(), backend, world, control);
        read += reader.bytes_read();
        int64_t bytes = 0;
        for (const ExpectedTensor& tensor : expected_tensors(checkpoint.config)) {
          bytes += checkpoint.index.at(tensor.name).bytes();
        }
        needed = bytes;
      });
      EXPECT_EQ(read, needed) << model << " on " << ranks << " ranks";
    }
  }
}

TEST(WorkspaceLimits, BuffersFitWhatCanCome) {
  ModelConfig config;
  config.hidden_size = 10;
  config.router = {8, 2};
  config.layers = {FfnKind::kDense, FfnKind::kMoe};
  RuntimeSettings settings = small_settings();
  const int64_t row = TokenDispatcher::bytes_per_row(10);
  settings.exchange_buffer_bytes = 7 * row + row - 1;
  EXPECT_EQ(workspace_limits(config, settings, 3).exchange_rows, 7);
  EXPECT_EQ(workspace_limits(config, settings, 3).max_rows, 100);
  settings.exchange_buffer_bytes = int64_t{1} << 40;
  EXPECT_EQ(workspace_limits(config, settings, 3).exchange_rows, 100 * 2 * 3);
  settings.total_rows = 60;  // all that will come is less than a batch
  EXPECT_EQ(workspace_limits(config, settings, 3).max_rows, 60);
  settings.longest_sequence = 5000;  // runs alone
  EXPECT_EQ(workspace_limits(config, settings, 3).max_rows, 5000);
  EXPECT_GE(workspace_limits(config, settings, 3).max_pages, pages_of(5000));
  settings.exchange_buffer_bytes = row - 1;
  expect_error(ErrorKind::kUsage, {"--exchange-buffer", std::to_string(row)},
               [&] { workspace_limits(config, settings, 3); });
  settings = small_settings();
  settings.max_batch_tokens = int64_t{1} << 31;
  expect_error(ErrorKind::kUsage, {"--max-batch-tokens"},
               [&] { workspace_limits(config, settings, 3); });
}

TEST(MemoryLimits, ControlGroupsOfBothVersions) {
  const TempFolder v2;
  v2.write("memory.max", "1000\n");
  v2.write("memory.current", "700\n");
  v2.write("memory.stat", "anon 400\ninactive_file 250\n");
  EXPECT_EQ(memory_left_in_group(v2.path("")), 1000 - 700 + 250);
  const TempFolder v1;
  v1.write("memory.limit_in_bytes", "5000\n");
  v1.write("memory.usage_in_bytes", "4000\n");
  EXPECT_EQ(memory_left_in_group(v1.path("")), 1000);
  const TempFolder unlimited;
  unlimited.write("memory.max", "max\n");
  EXPECT_EQ(memory_left_in_group(unlimited.path("")), std::numeric_limits<int64_t>::max());
  EXPECT_GT(free_host_memory(), 0);
}

TEST(Placement, FilesThatDoNotFitTheModelAreRefusedByName) {
  ModelConfig config;
  config.router = {2, 2};
  config.layers = {FfnKind::kDense, FfnKind::kMoe, FfnKind::kMoe};
  const auto refuses = [&](const char* text, const char* why) {
    expect_error(ErrorKind::kInput, {"p.json", why}, [&] {
      make_placements({"p.json", text}, config, 2);
    });
  };
  refuses("{", "not valid JSON");
  refuses("[]", "expected");
  refuses(R"({"experts": [[0]]})", "places 1 experts; the model has 2");
  refuses(R"({"experts": [[0], [2]]})", "expert 1 is on rank 2");
  refuses(R"({"experts": [[0], []]})", "expert 1 is on no rank");
  refuses(R"({"experts": [[0], ["a"]]})", "a list of ranks");
  refuses(R"({"layers": {"1": [[0], [1]]}})", "layer 2 of the model is missing");
  refuses(R"({"layers": {"0": [[0], [1]], "1": [[0], [1]], "2": [[0], [1]]}})", "lists 3 layers");
  refuses(R"({"experts": [[0], [1]], "layers": {}})", "stands alone");
  const std::vector<LayerPlacement> placements = make_placements(
      {"p.json", R"({"layers": {"1": [[1], [0]], "2": [[0], [0, 1]]}})"}, config, 2);
  ASSERT_EQ(placements.size(), 2u);
  EXPECT_EQ(placements[0].rank_of(placements[0].instance_for(0, 0, 0, 0)), 1);
  EXPECT_EQ(placements[1].num_local_experts(0), 2);
  expect_error(ErrorKind::kInput, {"/no/such/file"}, [] { read_placement_file("/no/such/file"); });
}

}  // namespace
}  // namespace switchyard
