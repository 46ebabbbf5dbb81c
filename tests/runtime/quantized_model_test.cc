// Models whose experts and attention are quantised: what is, what it changes and what it does not.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <set>
#include <sstream>

#include "kernels/quantization.h"
#include "parallel/thread_communicator.h"
#include "runtime/model_weights.h"
#include "runtime/numerics.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

namespace json = boost::json;

constexpr GroupQuantization kInt8 = {8, 128};
constexpr GroupQuantization kInt4 = {4, 64};

/// The sum of a score's log-probs; fails unless all are finite.
double total_logprob(const std::string& output) {
  double sum = 0.0;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);) {
    const json::value result = json::parse(line);
    for (const json::value& each : result.at("token_logprobs").as_array()) {
      if (each.is_null()) continue;
      EXPECT_TRUE(std::isfinite(each.to_number<double>())) << line;
      sum += each.to_number<double>();
    }
  }
  return sum;
}

/// Heads, latents, gates whose rows lie by turns, matrices that are stored in four bits.
class QuantizedScoreTest : public testing::TestWithParam<const char*> {
 protected:
  QuantizedScoreTest() : input_("few.jsonl", few_requests()) {
    setup_.model = GetParam();
    setup_.input = input_.path();
    setup_.quantization = {kInt4, kInt8};
    expected_ = score(setup_);
  }

  static std::string few_requests() {
    const bool is_trained = std::string(GetParam()) == "trained_moe_8e";
    std::ifstream file(
        test_data(concat(GetParam(), is_trained ? "/requests_text.jsonl" : "/requests.jsonl")));
    std::string lines;
    std::string line;
    for (int count = 0; count < 3 && std::getline(file, line); ++count) lines += line + "\n";
    return lines;
  }

  void expect_same_bytes() {
    EXPECT_TRUE(score(setup_) == expected_) << "different bytes: " << setup_.text();
  }

  TemporaryFile input_;
  ScoreSetup setup_;
  std::string expected_;
};

TEST_P(QuantizedScoreTest, RanksBatchesThreadsAndSlotsChangeNoByte) {
  for (const int ranks : {1, 2, 3}) {
    setup_.num_ranks = ranks;
    setup_.num_threads = ranks;
    setup_.max_batch_tokens = 30 * ranks;
    setup_.exchange_buffer_bytes = int64_t{16} << 10;
    setup_.tiers.expert_slots.reset();
    expect_same_bytes();
    setup_.tiers.expert_slots = 3;  // fewer than there are: experts are quantised again and again
    expect_same_bytes();
  }
}

TEST_P(QuantizedScoreTest, InstructionSetsAndTheStrictBackendChangeNoByte) {
  for (const auto set :
       {InstructionSet::kAvx512, InstructionSet::kAvx2, InstructionSet::kPortable}) {
    if (set < best_instruction_set()) continue;
    setup_.instruction_set = set;
    expect_same_bytes();
  }
  setup_.instruction_set = InstructionSet::kAuto;
  setup_.backend = BackendKind::kStrict;
  setup_.num_ranks = 2;
  expect_same_bytes();
}

TEST_P(QuantizedScoreTest, EveryFormChangesTheNumbersALittle) {
  setup_.quantization = {};
  const double exact = total_logprob(score(setup_));
  double last = 0.0;
  for (const int bits : {8, 4, 3, 2}) {
    const GroupQuantization each = default_quantization(bits);
    for (const WeightQuantization& q :
         {WeightQuantization{each, {}}, WeightQuantization{{}, each}}) {
      setup_.quantization = q;
      const double quantised = total_logprob(score(setup_));
      EXPECT_NE(quantised, exact);
      EXPECT_NE(quantised, last);
      // Two of the models are random: neither good nor bad with other weights.
      EXPECT_NEAR(quantised, exact, (bits == 8 ? 0.01 : 0.25) * std::fabs(exact)) << bits;
      last = quantised;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, QuantizedScoreTest,
                         testing::Values("trained_moe_8e", "hf/kimi-k2", "hf/gpt-oss-mxfp4"));

TEST(QuantizedModel, EightBitsKeepATrainedModelsQuality) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = "requests_token_ids.jsonl";
  const double exact = total_logprob(score(setup));
  setup.quantization = {kInt8, kInt8};
  EXPECT_NEAR(total_logprob(score(setup)), exact, 5e-4 * std::fabs(exact));
}

/// The dense matrices of a model that are quantised with attention, without their layers.
std::set<std::string> quantised_names(const std::string& model) {
  std::set<std::string> names;
  run_ranks(1, {}, {}, [&](Backend& device, Communicator& world) {
    ControlChannel control(device, world);
    Checkpoint checkpoint = open_checkpoint(test_data(model), control);
    checkpoint.config.quantization = {kInt4, kInt8};
    for (const DenseSpec& spec : dense_table(checkpoint.config, checkpoint.index, device)) {
      if (!spec.quantization.is_on()) {
        if (spec.form != TensorForm::kVector) {
          EXPECT_EQ(spec.device_bytes % device.packed_bytes(spec.weight_spec()), 0);
        }
        continue;
      }
      EXPECT_EQ(spec.form, TensorForm::kMatrix) << spec.name;
      EXPECT_EQ(spec.quantization, kInt8) << spec.name;
      EXPECT_EQ(spec.weight_spec().quantization, kInt8) << spec.name;
      EXPECT_EQ(spec.device_bytes, device.packed_bytes(spec.weight_spec())) << spec.name;
      names.insert(spec.name.substr(spec.name.find("att")));
    }
  });
  return names;
}

TEST(QuantizedModel, AttentionIsItsProjectionsAndNothingElse) {
  EXPECT_EQ(quantised_names("trained_moe_8e"),
            (std::set<std::string>{"attn.k_proj.weight", "attn.out_proj.weight",
                                   "attn.q_proj.weight", "attn.v_proj.weight"}));
  // Not the matrices of single heads, which stand inside attention.
  EXPECT_EQ(quantised_names("hf/kimi-k2"),
            (std::set<std::string>{"attention.latent.weight", "attention.output.weight",
                                   "attention.query.weight", "attention.query_latent.weight"}));
}

TEST(QuantizedModel, TheNumericsIdTellsWhatIsQuantised) {
  ModelConfig config;
  config.weight_dtype = DType::kF16;
  EXPECT_EQ(weight_type_text(config), "fp16");
  config.quantization.experts = kInt4;
  EXPECT_EQ(weight_type_text(config), "fp16+experts:int4g64");
  config.quantization.attention = kInt8;
  EXPECT_EQ(weight_type_text(config), "fp16+experts:int4g64+attention:int8g128");
  config.weight_dtype.reset();
  config.quantization.experts = {};
  EXPECT_EQ(weight_type_text(config), "mixed+attention:int8g128");
}

TEST(QuantizedModel, AConvertedCheckpointKeepsItsForm) {
  ModelConfig config;
  config.layers = {FfnKind::kMoe};
  quantize_as_asked({kInt4, {}}, "dir", config);
  EXPECT_EQ(config.quantization, (WeightQuantization{kInt4, {}}));
  quantize_as_asked({}, "dir", config);
  EXPECT_EQ(config.quantization, (WeightQuantization{kInt4, {}}));
  quantize_as_asked({kInt4, kInt8}, "dir", config);
  EXPECT_EQ(config.quantization, (WeightQuantization{kInt4, kInt8}));
  const auto error = [&](const WeightQuantization& asked) -> std::string {
    try {
      quantize_as_asked(asked, "dir", config);
    } catch (const Error& thrown) {
      EXPECT_EQ(thrown.kind(), ErrorKind::kUsage);
      return thrown.what();
    }
    return "";
  };
  for (const char* part : {"--expert-dtype", "int4g32", "dir", "int4g64"}) {
    EXPECT_NE(error({{4, 32}, {}}).find(part), std::string::npos) << part;
  }
  EXPECT_NE(error({{}, {2, 16}}).find("--attention-dtype"), std::string::npos);
}

TEST(QuantizedModel, ExpertsOfADenseModelAreNotInItsId) {
  ModelConfig config;
  config.layers = {FfnKind::kDense};
  quantize_as_asked({kInt4, kInt8}, "dir", config);
  EXPECT_EQ(config.quantization, (WeightQuantization{{}, kInt8}));
}

}  // namespace
}  // namespace switchyard
