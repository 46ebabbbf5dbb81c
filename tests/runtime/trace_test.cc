// Hidden states, routing, slots and dropped tokens against the reference implementation's.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <fstream>
#include <map>
#include <mutex>

#include "parallel/thread_communicator.h"
#include "runtime/capacity_batch.h"
#include "runtime/checkpoint/safetensors_file.h"
#include "runtime/model_runtime.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/golden_case.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace json = boost::json;

using Numbers = std::map<std::string, std::vector<double>>;

/// Everything a safetensors file of fp32 and int32 tensors holds.
Numbers read_trace(const std::string& path) {
  RandomFile file(path);
  Numbers numbers;
  for (const TorchTensor& tensor : read_safetensors_header(file)) {
    const TensorEntry& entry = tensor.entry;
    std::vector<char> bytes(static_cast<size_t>(entry.bytes()));
    file.read_at(entry.offset, entry.bytes(), bytes.data(), tensor.name);
    std::vector<double>& values = numbers[tensor.name];
    for (size_t at = 0; at < bytes.size(); at += 4) {
      values.push_back(entry.dtype == DType::kI32 ? load_little_endian<int32_t>(bytes.data() + at)
                                                  : load_little_endian<float>(bytes.data() + at));
    }
  }
  return numbers;
}

/// Keeps what passes by.
class Recorder : public StepObserver {
 public:
  Recorder(Numbers& numbers, std::mutex& mutex) : numbers_(numbers), mutex_(mutex) {}

  void see(const std::string& name, int64_t first_row, const TensorView& rows, Backend& backend,
           Stream& stream) override {
    const auto count = static_cast<size_t>(rows.shape.num_elements());
    std::vector<char> bytes(count * 4);
    backend.copy_to_host(stream, rows, bytes.data());
    backend.record(stream).synchronize();
    const std::lock_guard lock(mutex_);
    std::vector<double>& values = numbers_[name];
    const size_t first = static_cast<size_t>(first_row) * (count / rows.shape[0]);
    values.resize(std::max(values.size(), first + count));
    for (size_t i = 0; i < count; ++i) {
      const char* at = bytes.data() + 4 * i;
      values[first + i] = rows.dtype == DType::kI32 ? load_little_endian<int32_t>(at)
                                                    : load_little_endian<float>(at);
    }
  }

 private:
  Numbers& numbers_;
  std::mutex& mutex_;
};

/// One step, whose outputs nobody looks at.
class OneStep : public StepWork {
 public:
  explicit OneStep(StepUnit unit) : unit_(std::move(unit)) {}
  StepHeader next() override {
    StepHeader header;
    if (unit_.sequences.empty()) return header;
    header.kind = StepKind::kRun;
    header.units.push_back(std::exchange(unit_, {}));
    return header;
  }
  void consume(std::vector<SequenceOutput> /*outputs*/) override {}
  std::string describe(const NonFiniteError& error) const override { return error.what(); }

 private:
  StepUnit unit_;
};

/// What a case's trace was made from.
struct TraceCase {
  std::vector<std::vector<int32_t>> requests;
  std::map<std::string, std::string> args;

  std::optional<double> fraction() const {
    if (!args.contains("--capacity") || args.at("--capacity") == "none") return std::nullopt;
    return std::stod(args.at("--capacity-fraction"));
  }
};

json::value read_json(const std::string& path) {
  std::ifstream file(path);
  return json::parse(std::string(std::istreambuf_iterator<char>(file), {}));
}

TraceCase read_case(const std::string& folder) {
  const json::value description = read_json(test_data(folder + "/case.json"));
  const json::object& trace = description.at("trace").as_object();
  const std::string input =
      trace.contains("input") ? json::value_to<std::string>(trace.at("input")) : "requests.jsonl";
  TraceCase result;
  // Families of Hugging Face have one request and no options.
  const json::array args = trace.contains("args") ? trace.at("args").as_array() : json::array();
  const json::array ids = trace.contains("requests") ? trace.at("requests").as_array()
                                                     : json::array{trace.at("request")};
  for (size_t i = 0; i + 1 < args.size(); i += 2) {
    result.args[json::value_to<std::string>(args[i])] = json::value_to<std::string>(args[i + 1]);
  }
  for (const json::value& id : ids) {
    std::ifstream lines(test_data(folder + "/" + input));
    for (std::string line; std::getline(lines, line);) {
      const json::value request = json::parse(line);
      if (request.at("id") == id) {
        result.requests.push_back(json::value_to<std::vector<int32_t>>(request.at("token_ids")));
      }
    }
  }
  return result;
}

/// The unit of the case's requests, every token's row included as in the reference.
StepUnit make_unit(const TraceCase& trace, int32_t start_token) {
  std::vector<StepSequence> sequences;
  for (const std::vector<int32_t>& ids : trace.requests) {
    StepSequence& sequence = sequences.emplace_back();
    sequence.sequence = static_cast<int64_t>(sequences.size()) - 1;
    if (start_token != ModelConfig::kNoToken) sequence.input_ids.push_back(start_token);
    sequence.input_ids.insert(sequence.input_ids.end(), ids.begin(), ids.end());
    sequence.planned_length = static_cast<int64_t>(ids.size());
    sequence.target_ids = ids;
  }
  if (!trace.fraction()) return {sequences};
  CapacityShape shape{*trace.fraction()};
  if (trace.args.contains("--pad-batch-to")) {
    shape.pad_batch_to = std::stoll(trace.args.at("--pad-batch-to"));
  }
  return make_capacity_unit(sequences, shape);
}

/// Runs the case's step on `num_ranks` and returns what the observers saw.
Numbers run_case(const std::string& folder, const TraceCase& trace, int num_ranks) {
  Numbers numbers;
  std::mutex mutex;
  run_ranks(num_ranks, {}, {}, [&](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    const Checkpoint checkpoint = open_checkpoint(test_data(folder), control);
    CheckpointFiles files(checkpoint.index);
    Recorder recorder(numbers, mutex);
    RuntimeSettings settings;
    settings.max_batch_tokens = 4096;
    settings.exchange_buffer_bytes = 100000;
    settings.capacity_fraction = trace.fraction();
    settings.observer = &recorder;
    ModelRuntime model(checkpoint, files, settings, backend, world, control);
    Engine engine(control, model.transformer(), model.clock(), model.schedule_limits());
    OneStep work(make_unit(trace, checkpoint.config.start_token));
    engine.run(control.rank() == 0 ? &work : nullptr);
  });
  return numbers;
}

class TraceTest : public testing::TestWithParam<std::string> {};

TEST_P(TraceTest, EveryLayerIsTheReferences) {
  set_log_level(LogLevel::kError);
  const std::string folder = GetParam();
  const Numbers expected = read_trace(test_data(folder + "/trace.safetensors"));
  const TraceCase trace = read_case(folder);
  ASSERT_FALSE(trace.requests.empty());
  for (const int num_ranks : {1, 3}) {
    const Numbers seen = run_case(folder, trace, num_ranks);
    int compared = 0;
    for (const auto& [name, want] : expected) {
      if (name == "logits" || name.ends_with(".capacity")) continue;
      ASSERT_TRUE(seen.contains(name)) << name;
      const std::vector<double>& got = seen.at(name);
      ASSERT_EQ(got.size(), want.size()) << name;
      const bool is_exact = name.ends_with(".topk_idx") || name.ends_with(".slot");
      for (size_t i = 0; i < want.size(); ++i) {
        // Hidden states reach some tens; everything is fp32.
        const double limit = is_exact ? 0.0 : 1e-4 * std::max(1.0, std::abs(want[i]));
        ASSERT_NEAR(got[i], want[i], limit) << name << " element " << i;
        if (name.ends_with(".topk_weights")) {
          ASSERT_EQ(got[i] == 0.0, want[i] == 0.0) << name << " element " << i;
        }
      }
      ++compared;
    }
    EXPECT_GE(compared, 3);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, TraceTest,
                         testing::Values("fairseq/moe_fp32", "fairseq/gate_ties",
                                         "fairseq/moe_freq3", "fairseq/arch_post_norm_dense",
                                         "fairseq/capacity_top2", "fairseq/capacity_top1",
                                         "fairseq/capacity_batch_prioritized",
                                         "fairseq/capacity_dummy_rows",
                                         "fairseq/capacity_few_tokens",
                                         "fairseq/capacity_normalize_before",
                                         "fairseq/capacity_pad_mask", "trained_moe_8e"),
                         [](const testing::TestParamInfo<std::string>& test) {
                           std::string name = test.param;
                           return name.substr(name.find('/') + 1);
                         });

std::vector<std::string> families_with_traces() {
  std::vector<std::string> folders;
  for (const std::string& folder : case_folders("hf")) {
    if (std::ifstream(test_data(folder + "/trace.safetensors")).good()) folders.push_back(folder);
  }
  return folders;
}

INSTANTIATE_TEST_SUITE_P(Families, TraceTest, testing::ValuesIn(families_with_traces()),
                         [](const testing::TestParamInfo<std::string>& test) {
                           std::string name = test.param.substr(3);
                           std::ranges::replace_if(
                               name, [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(ExpertCapacity, IsTheReferencesFormula) {
  const RouterSettings top2{512, 2};
  EXPECT_EQ(expert_capacity(0.05, top2, 2048), 103);
  EXPECT_EQ(expert_capacity(0.046875, top2, 2048), 96);
  EXPECT_EQ(expert_capacity(0.07, top2, 100), 8);  // 7.000000000000001
  EXPECT_EQ(expert_capacity(1e300, top2, 100), 100);
  EXPECT_EQ(expert_capacity(-1.0, top2, 2048), 8);
  EXPECT_EQ(expert_capacity(0.0, top2, 100), 2);
  EXPECT_EQ(expert_capacity(-1.0, {8, 1, GateNorm::kNone}, 17), 3);
}

TEST(CapacityUnit, PadsToTheLongestAndCountsAbsentSequences) {
  StepSequence a, b;
  a.input_ids = {2, 5, 6};
  b.input_ids = {2};
  const StepUnit unit = make_capacity_unit({a, b}, {0.25, 4, 4, 0});
  EXPECT_EQ(unit.sequences[0].num_pads, 0);
  EXPECT_EQ(unit.sequences[1].num_pads, 2);
  EXPECT_EQ(unit.capacity_positions, 12);
  const StepUnit fixed = make_capacity_unit({a, b}, {0.25, 2, 0, 10});
  EXPECT_EQ(fixed.sequences[0].num_rows(), 10);
  EXPECT_EQ(fixed.capacity_positions, 20);
}

}  // namespace
}  // namespace switchyard
