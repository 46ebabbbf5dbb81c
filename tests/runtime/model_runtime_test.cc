// What a rank plans, allocates and loads.
#include "runtime/model_runtime.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <limits>

#include "parallel/thread_communicator.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/host_memory.h"
#include "runtime/memory_check.h"
#include "runtime/piece_reader.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

RuntimeSettings small_settings() {
  RuntimeSettings settings;
  settings.max_batch_tokens = 100;
  settings.largest_unit_rows = 50;
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
        CheckpointFiles files(checkpoint.index);
        const ModelRuntime runtime(checkpoint, files, small_settings(), backend, world, control);
        read += runtime.tensor_bytes_read();
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

TEST(ModelRuntime, ReadersTakeTurnsAndStillReadEachByteOnce) {
  set_log_level(LogLevel::kError);
  for (const int64_t readers : {1, 2, 3, 100}) {
    std::atomic<int64_t> read{0};
    std::atomic<int64_t> file_bytes{0};
    run_ranks(4, {}, {}, [&](Backend& backend, Communicator& world) {
      ControlChannel control(backend, world);
      const Checkpoint checkpoint = open_checkpoint(test_data("trained_moe_8e"), control);
      CheckpointFiles files(checkpoint.index);
      RuntimeSettings settings = small_settings();
      settings.load_readers_per_node = readers;
      const ModelRuntime runtime(checkpoint, files, settings, backend, world, control);
      read += runtime.tensor_bytes_read();
      int64_t bytes = 0;
      for (const CheckpointFile& file : checkpoint.index.files) bytes += file.bytes;
      file_bytes = bytes;
    });
    EXPECT_GT(read, 0);
    EXPECT_LE(read, file_bytes);
  }
}

/// Calls use(checkpoint, backend) with the trained model of the test data.
template <typename Use>
void with_trained_model(const Use& use) {
  run_ranks(1, {}, {}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    use(open_checkpoint(test_data("trained_moe_8e"), control), backend);
  });
}

/// The plan of the only rank, with as few slots as the settings allow.
MemoryPlan plan_of(const Checkpoint& checkpoint, const RuntimeSettings& settings,
                   const Backend& backend) {
  const WorkspaceLimits limits = workspace_limits(checkpoint.config, settings, 1);
  MemoryTables tables =
      memory_tables(checkpoint, make_placements({}, checkpoint.config, 1), 0, limits, backend);
  tables.cache = plan_cache(tables.experts, settings.tiers, 0, backend);
  return plan_memory(checkpoint.config, tables, limits, backend);
}

TEST(MemoryAdvice, NamesTheSettingThatFits) {
  with_trained_model([](const Checkpoint& checkpoint, const Backend& backend) {
    RuntimeSettings settings = small_settings();
    settings.max_batch_tokens = 1 << 20;
    const int64_t free = int64_t{200} << 20;
    const auto advice = [&](const MemoryTrial& trial) {
      return advise_memory(checkpoint, settings, trial, backend);
    };
    const std::string tokens = advice({1, 1, free});
    ASSERT_TRUE(tokens.starts_with("--max-batch-tokens ")) << tokens;
    settings.max_batch_tokens = std::stoll(tokens.substr(19));
    EXPECT_LE(plan_of(checkpoint, settings, backend).total(), free);
    ++settings.max_batch_tokens;
    EXPECT_GT(plan_of(checkpoint, settings, backend).total(), free);
    settings.capacity_fraction = 0.25;
    settings.largest_unit_rows = 1 << 20;
    settings.largest_unit_pages = 1 << 14;
    EXPECT_NE(advice({1, 1, free}).find("batch (--batch-size) of at most"), std::string::npos);
    settings = small_settings();
    settings.max_batch_tokens = settings.largest_unit_rows = 1;
    const MemoryPlan plan = plan_of(checkpoint, settings, backend);
    settings.tiers.expert_slots = 1000;  // all
    const std::string budget = advice({1, 1, plan.total() + (1 << 20)});
    ASSERT_TRUE(budget.starts_with("--expert-budget ")) << budget;
    settings.tiers.expert_slots.reset();
    settings.tiers.expert_budget = std::stoll(budget.substr(16));
    EXPECT_LE(plan_of(checkpoint, settings, backend).total(), plan.total() + (1 << 20));
    EXPECT_GE(*settings.tiers.expert_budget, 1 << 20);
    settings.tiers.expert_budget.reset();
    // Sixteen ranks of a host hold the dense weights sixteen times.
    EXPECT_NE(advice({16, 16, plan.total()}).find(" like this one with "), std::string::npos);
    EXPECT_EQ(advice({16, 16, plan.total()}).find("16 ranks each"), std::string::npos);
    EXPECT_NE(advice({2, 2, 1000}).find("no number of such hosts"), std::string::npos);
    settings.sequence_cache_pages = {10};
    settings.cache_pages = {320};
    const int64_t ten = plan_of(checkpoint, settings, backend).total();
    settings.cache_pages = {3200};
    EXPECT_EQ(advice({1, 1, ten}), "--batch-size 32 fits");
  });
}

TEST(PieceReader, KeepsTheOrderAndPassesErrorsOn) {
  class Source : public TensorSource {
   public:
    void read(const std::string& name, const TensorEntry& /*entry*/, int64_t first, int64_t count,
              void* to) override {
      if (name == "bad") fail_input("bad tensor");
      std::fill_n(static_cast<char*>(to), count, static_cast<char>(first));
    }
    int64_t bytes_read() const override { return 0; }
  };
  CheckpointIndex index;
  index.tensors["a"] = {0, 0, DType::kU8, {100}, {1}};
  index.tensors["bad"] = index.tensors["a"];
  Source source;
  std::vector<TensorPiece> pieces;
  for (int64_t i = 0; i < 50; ++i) pieces.push_back({"a", i, i + 1});
  pieces.push_back({"bad", 0, 1});
  PieceReader reader(source, index, pieces);
  for (int64_t i = 0; i < 50; ++i) {
    EXPECT_EQ(reader.next(), std::vector<char>(static_cast<size_t>(i) + 1, static_cast<char>(i)));
  }
  EXPECT_THROW(reader.next(), Error);
  EXPECT_THROW(reader.next(), Error);
  const PieceReader unread(source, index, pieces);  // ends without being read
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
  // All choices of 3 ranks, and the header row of each.
  EXPECT_EQ(workspace_limits(config, settings, 3).exchange_rows, (100 * 2 + 1) * 3);
  settings.total_rows = 60;  // all that will come is less than a batch
  EXPECT_EQ(workspace_limits(config, settings, 3).max_rows, 60);
  settings.largest_unit_rows = 5000;  // runs alone
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
