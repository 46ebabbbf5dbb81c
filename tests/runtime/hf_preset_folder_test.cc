// The folders that `synthesize` writes for presets of Hugging Face models.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/inspect_parts.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/hf_preset_case.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/synthesize_runner.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// The architecture as `inspect` tells it.
std::string words_for(const ModelConfig& config) {
  return format_report({architecture_section(config)}, ResultForm::kTable);
}

TEST(HfPresetFolderTest, TinyModelsAreReadBackAndScore) {
  const std::string requests = R"({"id":1,"token_ids":[5,6,7,8,9,10,11,12,3,4,5,60,61,50]})";
  for (const auto& [name, known] : known_models()) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    SynthesizeOptions options = options_for(name, folder.path("out"));
    options.changes = tiny_changes(name);
    options.changes.shard_bytes = 60'000;
    synthesize(options);
    const ModelPreset preset = load_preset(name, options.changes);
    const Checkpoint checkpoint = open(options.output);
    EXPECT_TRUE(checkpoint.warnings.empty()) << checkpoint.warnings.front();
    EXPECT_GT(checkpoint.index.files.size(), 1u);
    EXPECT_EQ(words_for(checkpoint.config), words_for(preset.config));
    ScoreSetup setup;
    setup.model = options.output;
    setup.input = folder.write("in.jsonl", requests);
    const std::string result = score(setup);
    const double sum = json::parse(result).at("logprob").to_number<double>();
    EXPECT_LT(sum, -13 * 2.0) << "no better than chance";
    EXPECT_GT(sum, -13 * 9.0) << "nothing explodes";
  }
}

TEST(HfPresetFolderTest, FilesDoNotDependOnRanks) {
  for (const char* name : {"deepseek_v3", "gpt_oss_20b", "mixtral_8x7b"}) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    SynthesizeOptions options = options_for(name, folder.path("one"));
    options.changes = tiny_changes(name);
    options.changes.shard_bytes = 30'000;
    const int64_t bytes = synthesize(options);
    const std::map<std::string, std::string> expected = contents(folder, "one");
    EXPECT_GT(expected.size(), 5u);
    int64_t total = 0;
    for (const auto& [file, text] : expected) total += static_cast<int64_t>(text.size());
    EXPECT_EQ(bytes, total);
    options.output = folder.path("three");
    options.num_threads = 2;
    EXPECT_EQ(synthesize(options, 3), bytes);
    EXPECT_EQ(contents(folder, "three"), expected);
    options.output = folder.path("other");
    options.seed = 2;
    synthesize(options);
    EXPECT_NE(contents(folder, "other"), expected);
  }
}

TEST(HfPresetFolderTest, OneFileHasNoIndex) {
  const TempFolder folder;
  SynthesizeOptions options = options_for("olmoe_1b_7b", folder.path("out"));
  options.changes = tiny_changes("olmoe_1b_7b");
  synthesize(options);
  std::set<std::string> names;
  for (const auto& [name, text] : contents(folder, "out")) names.insert(name);
  EXPECT_EQ(names,
            (std::set<std::string>{"config.json", "generation_config.json", "model.safetensors"}));
  expect_error(ErrorKind::kInput, {"stands there already"}, [&] { synthesize(options); });
}

/// The mean square of elements, and the largest.
void expect_spread(const Checkpoint& checkpoint, const std::string& name, double deviation) {
  SCOPED_TRACE(name);
  const TensorEntry& entry = checkpoint.index.at(name);
  TensorReader reader(checkpoint.index);
  const auto count = static_cast<size_t>(entry.num_elements());
  std::vector<float> raw(count), values(count);
  reader.read(name, entry, 0, entry.num_elements(), raw.data());
  convert_elements(entry.dtype, raw.data(), DType::kF32, values.data(), entry.num_elements());
  double squares = 0;
  for (const float value : values) {
    squares += double{value} * value;
    ASSERT_LT(std::abs(value), 8.5 * deviation);
  }
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(count)) / deviation, 1.0, 0.08);
}

TEST(HfPresetFolderTest, QuantisedMatricesHaveTheDeviationOfPlainOnes) {
  const TempFolder folder;
  for (const char* name : {"deepseek_v3", "gpt_oss_20b"}) {
    for (const bool is_plain : {false, true}) {
      SynthesizeOptions options = options_for(name, folder.path(concat(name, is_plain)));
      options.changes = tiny_changes(name);
      if (is_plain) options.changes.dtype = DType::kF32;
      synthesize(options);
      const Checkpoint checkpoint = open(options.output);
      EXPECT_EQ(checkpoint.index.at("layers.1.experts.2.down.weight").encoding,
                is_plain                             ? TensorEncoding::kPlain
                : name == std::string("deepseek_v3") ? TensorEncoding::kFp8Block
                                                     : TensorEncoding::kMxfp4);
      expect_spread(checkpoint, "layers.1.experts.2.up.weight", 1.0 / 8);
      expect_spread(checkpoint, "layers.0.attention.query.weight",
                    name == std::string("deepseek_v3") ? 1.0 / std::sqrt(40.0) : 1.0 / 8);
    }
  }
}

}  // namespace
}  // namespace switchyard
