#include "runtime/checkpoint/config_json.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <boost/pfr.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "runtime/model_preset.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/golden_case.h"
#include "tests/runtime/synthesize_runner.h"

namespace switchyard {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

/// Through the text of a file.
json::value through_text(const ModelConfig& config) {
  return json::parse(json::serialize(config_to_json(config)));
}

/// As the reader of a checkpoint does it.
ModelConfig read_valid(const json::value& written, const std::string& source) {
  const ModelConfig config = config_from_json(written, source);
  validate(config, source);
  return config;
}

void expect_round_trip(const ModelConfig& config) {
  EXPECT_EQ(read_valid(through_text(config), "file"), config);
}

TEST(ConfigJsonTest, EveryReferenceCaseReadsBackEqual) {
  int num_cases = 0;
  for (const char* group : {"hf", "fairseq"}) {
    for (const std::string& folder : case_folders(group)) {
      SCOPED_TRACE(folder);
      expect_round_trip(open(test_data(folder)).config);
      ++num_cases;
    }
  }
  EXPECT_GT(num_cases, 50);
}

TEST(ConfigJsonTest, EveryPresetReadsBackEqual) {
  int num_presets = 0;
  for (const auto& entry : fs::directory_iterator(test_data("../../configs/models"))) {
    if (entry.path().extension() != ".yaml") continue;
    SCOPED_TRACE(entry.path());
    expect_round_trip(load_preset(entry.path().string(), {}).config);
    ++num_presets;
  }
  EXPECT_GT(num_presets, 10);
}

// Changing every field by reflection: a field that is added to a struct is changed here too, and a
// codec that does not know it gives back another configuration.

template <typename T>
void change(T& value);

template <typename T>
void change_item(std::vector<T>& list) {
  change(list.emplace_back());
}

template <typename T>
void change(T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    value = !value;
  } else if constexpr (std::is_enum_v<T>) {
    value = static_cast<T>(static_cast<int>(value) == 0 ? 1 : 0);
  } else if constexpr (std::is_floating_point_v<T>) {
    value = value * T(0.3) + T(0.1);  // no short decimal number
  } else if constexpr (std::is_integral_v<T>) {
    value += 3;
  } else if constexpr (std::is_same_v<T, std::string>) {
    value += " \"\\\n{layer}";
  } else if constexpr (std::is_same_v<T, std::optional<DType>>) {
    value = DType::kBF16;
  } else if constexpr (requires { value.emplace_back(); }) {
    change_item(value);
  } else {
    boost::pfr::for_each_field(value, [](auto& field) { change(field); });
  }
}

/// Throws for the first field of `T` that is as it was made.
template <typename T>
void expect_all_changed(const T& value) {
  const T made;
  boost::pfr::for_each_field(value, [&](const auto& field, auto number) {
    const auto& before = boost::pfr::get<number>(made);
    EXPECT_FALSE(field == before) << "field " << number << " of " << typeid(T).name();
  });
}

TEST(ConfigJsonTest, NoFieldIsForgotten) {
  ModelConfig config;
  change(config);
  expect_all_changed(config);
  expect_all_changed(config.names);
  expect_all_changed(config.rope);
  expect_all_changed(config.router);
  const json::value written = through_text(config);
  const json::object& object = written.as_object();
  EXPECT_EQ(object.size(), boost::pfr::tuple_size_v<ModelConfig>);
  EXPECT_EQ(object.at("names").as_object().size(), boost::pfr::tuple_size_v<TensorNames>);
  EXPECT_EQ(object.at("rope").as_object().size(), boost::pfr::tuple_size_v<RopeConfig>);
  EXPECT_EQ(object.at("router").as_object().size(), boost::pfr::tuple_size_v<RouterSettings>);
  EXPECT_EQ(object.at("ffn_form").as_object().size(), boost::pfr::tuple_size_v<FfnForm>);
  EXPECT_EQ(object.at("latent").as_object().size(), boost::pfr::tuple_size_v<LatentSizes>);
  EXPECT_EQ(object.at("biases").as_object().size(), boost::pfr::tuple_size_v<AttentionBiases>);
  EXPECT_EQ(object.at("capacity").as_object().size(), boost::pfr::tuple_size_v<CapacityRules>);
  EXPECT_EQ(object.at("quantization").at("experts").as_object().size(),
            boost::pfr::tuple_size_v<GroupQuantization>);
  EXPECT_EQ(config_from_json(written, "file"), config);
}

TEST(ConfigJsonTest, AWrongKeyIsNamed) {
  const json::value good = through_text(open(test_data("hf/gpt-oss-mxfp4")).config);
  const auto expect_refused = [&](const char* pointer, const json::value& value,
                                  std::initializer_list<std::string_view> parts) {
    json::value wrong = good;
    wrong.at_pointer(pointer) = value;
    const std::string message =
        expect_error(ErrorKind::kInput, parts, [&] { read_valid(wrong, "dir/switchyard.json"); });
    EXPECT_EQ(message.find("dir/switchyard.json: "), 0u) << message;
  };
  expect_refused("/hidden_size", "64", {"config.hidden_size", "\"64\"", "whole number"});
  expect_refused("/hidden_size", 1.5, {"config.hidden_size", "whole number"});
  expect_refused("/hidden_size", nullptr, {"config.hidden_size", "null"});
  expect_refused("/hidden_size", uint64_t{1} << 63, {"config.hidden_size", "9223372036854775807"});
  expect_refused("/hidden_size", -1, {"the model width is -1"});
  expect_refused("/start_token", int64_t{1} << 31, {"config.start_token", "2147483647"});
  expect_refused("/norm_eps", 0.5, {"config.norm_eps", "in quotes"});
  expect_refused("/norm_eps", "1e-5x", {"config.norm_eps", "finite"});
  expect_refused("/norm_eps", "inf", {"config.norm_eps", "finite"});
  expect_refused("/norm_eps", "1e99", {"config.norm_eps", "finite"});
  expect_refused("/has_sinks", 1, {"config.has_sinks", "true or false"});
  expect_refused("/norm", "rmsnorm", {"config.norm", "one of layer, rms"});
  expect_refused("/norm", 1, {"config.norm", "one of layer, rms"});
  expect_refused("/weight_dtype", "fp64", {"config.weight_dtype", "one of fp32, fp16"});
  expect_refused("/layers", "moe", {"config.layers", "a list"});
  expect_refused("/layers/1", "sparse", {"config.layers[1]", "one of dense, moe"});
  expect_refused("/rope", json::array(), {"config.rope", "an object"});
  expect_refused("/rope/theta", true, {"config.rope.theta"});
  expect_refused("/windows", json::array{1}, {"1 attention windows"});
  expect_refused("/route_scales", json::array{"1"}, {"1 factors of router weights"});
  expect_refused("/expert_counts", json::array{{{"num_experts", 4}, {"top_k", 1}}},
                 {"1 numbers of experts"});
  expect_refused("/expert_ffn_sizes", json::array{{1}, {2}, {3}}, {"1 sizes of experts"});
  expect_refused("/quantization/experts", {{"bits", 5}, {"group", 64}, {"codes", "integer"}},
                 {"5 bits"});
  expect_refused("/quantization/experts", {{"bits", 4}, {"group", 12}, {"codes", "integer"}},
                 {"groups of 12"});
  expect_refused("/quantization/experts", {{"bits", 0}, {"group", 8}, {"codes", "integer"}},
                 {"groups of 8"});
  expect_refused("/quantization/experts", {{"bits", 8}, {"group", 128}, {"codes", "e4m3"}},
                 {"groups of 128"});
  expect_refused("/position_offset", -3, {"row -3"});
}

TEST(ConfigJsonTest, KeysAreNeitherMissingNorMore) {
  const json::value good = through_text(open(test_data("fairseq/moe_fp32")).config);
  json::value wrong = good;
  wrong.as_object().erase("vocab_size");
  expect_error(ErrorKind::kInput, {"f: has no \"config.vocab_size\""},
               [&] { config_from_json(wrong, "f"); });
  wrong = good;
  wrong.as_object()["rope"].as_object()["beta"] = 1;
  expect_error(ErrorKind::kInput, {"f: has the unknown key \"config.rope.beta\""},
               [&] { config_from_json(wrong, "f"); });
  expect_error(ErrorKind::kInput, {"\"config\" is 5", "an object"},
               [&] { config_from_json(5, "f"); });
}

}  // namespace
}  // namespace switchyard
