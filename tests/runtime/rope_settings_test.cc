// Rotary positions as config.json files of several releases spell them.
#include "runtime/families/rope_settings.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// The settings of a family by entries of its config.json: heads of 16, 256 positions.
RopeSettings read(const std::string& entries, const std::string& model_type = "llama") {
  const std::string source = "config.json";
  const json::object config = json::parse("{" + entries + "}").as_object();
  const FamilySettings settings(family_of(model_type, source), config, source);
  return read_rope_settings(settings, 16, 256);
}

RopeConfig scaled(const std::string& dictionary, const std::string& model_type = "llama") {
  return read("\"rope_scaling\": {" + dictionary + "}", model_type).rope;
}

void expect_refused(const std::string& entries, std::initializer_list<std::string_view> parts,
                    const std::string& model_type = "llama") {
  SCOPED_TRACE(entries);
  expect_error(ErrorKind::kInput, parts, [&] { read(entries, model_type); });
}

TEST(RopeSettingsTest, NoScalingIsTheDefault) {
  for (const char* entries : {"", R"("rope_scaling": null)", R"("rope_scaling": {})",
                              R"("rope_parameters": {"rope_type": "default"})"}) {
    const RopeConfig rope = read(entries).rope;
    EXPECT_EQ(rope.scaling, RopeScaling::kNone) << entries;
    EXPECT_EQ(rope.theta, 1e4);
    EXPECT_EQ(rope.rotary_dim, 16);
    EXPECT_EQ(rope.layout, RopeLayout::kHalves);
    EXPECT_EQ(rope.scale, 1.0);
  }
  EXPECT_EQ(read(R"("rope_theta": 500000)").rope.theta, 5e5);
  EXPECT_EQ(read(R"("rope_parameters": {"rope_type": "default", "rope_theta": 7.5})").rope.theta,
            7.5);
}

TEST(RopeSettingsTest, EveryKindIsReadInBothSpellings) {
  for (const char* key : {"type", "rope_type"}) {
    const auto kind = [&](const std::string& name, const std::string& more) {
      return scaled(concat("\"", key, "\": \"", name, "\", ", more));
    };
    EXPECT_EQ(kind("linear", R"("factor": 4)").factor, 4.0);
    EXPECT_EQ(kind("dynamic", R"("factor": 2.0)").original_positions, 256);
    EXPECT_EQ(kind("su", R"("short_factor": [1, 1, 1, 1, 1, 1, 1, 1],
                            "long_factor": [2, 2, 2, 2, 2, 2, 2, 2])")
                  .scaling,
              RopeScaling::kLongRope);
    const RopeConfig llama3 =
        kind("llama3", R"("factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                          "original_max_position_embeddings": 64)");
    EXPECT_EQ(llama3.scaling, RopeScaling::kLlama3);
    EXPECT_EQ(llama3.original_positions, 64);
    EXPECT_EQ(llama3.high_freq_factor, 4.0);
  }
}

TEST(RopeSettingsTest, YarnsMagnitudeHasThreeSources) {
  const std::string yarn = R"("rope_type": "yarn", "factor": 8)";
  EXPECT_DOUBLE_EQ(scaled(yarn).scale, 0.1 * std::log(8.0) + 1.0);
  EXPECT_EQ(scaled(yarn + R"(, "attention_factor": 1.5)").scale, 1.5);
  EXPECT_DOUBLE_EQ(scaled(yarn + R"(, "mscale": 2, "mscale_all_dim": 1)").scale,
                   (0.2 * std::log(8.0) + 1.0) / (0.1 * std::log(8.0) + 1.0));
  const RopeConfig whole = scaled(yarn + R"(, "truncate": false, "beta_fast": 16)");
  EXPECT_FALSE(whole.truncates);
  EXPECT_EQ(whole.beta_fast, 16.0);
  EXPECT_EQ(whole.beta_slow, 1.0);
  // Without a factor it is how much longer the positions have become.
  EXPECT_EQ(scaled(R"("type": "yarn", "original_max_position_embeddings": 32)").factor, 8.0);
  EXPECT_EQ(read(yarn.empty() ? "" : "\"rope_scaling\": {" + yarn + "}").softmax_scale, 1.0);
}

TEST(RopeSettingsTest, DeepSeeksSoftmaxHasTheSquare) {
  const std::string entries =
      R"("rope_scaling": {"type": "yarn", "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707})";
  const RopeSettings settings = read(entries, "deepseek_v2");
  const double magnitude = 0.1 * 0.707 * std::log(40.0) + 1.0;
  EXPECT_DOUBLE_EQ(settings.softmax_scale, magnitude * magnitude);
  EXPECT_EQ(settings.rope.scale, 1.0);
  EXPECT_EQ(settings.rope.layout, RopeLayout::kInterleaved);
  EXPECT_EQ(read("", "deepseek_v2").softmax_scale, 1.0);
}

TEST(RopeSettingsTest, FamiliesHaveTheirOwnWays) {
  EXPECT_EQ(read("", "gpt_oss").rope.scaling, RopeScaling::kYarn) << "the class' default";
  EXPECT_EQ(read(R"("rope_scaling": null)", "gpt_oss").rope.scaling, RopeScaling::kNone);
  EXPECT_EQ(read("", "glm4_moe").rope.rotary_dim, 8);
  EXPECT_EQ(read(R"("rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.25})",
                 "glm4_moe")
                .rope.rotary_dim,
            4);
  const std::string phi = R"("type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 1],
      "long_factor": [2, 2, 2, 2, 2, 2, 2, 2], "short_mscale": 1.25, "long_mscale": 1.5)";
  EXPECT_EQ(scaled(phi, "phimoe").scale, 1.25);
  EXPECT_EQ(scaled(phi, "phimoe").long_scale, 1.5);
  expect_refused("\"rope_scaling\": {" + phi + "}", {"short_mscale", "no setting"});
}

TEST(RopeSettingsTest, TheOriginalLengthMayStandAtTopLevel) {
  const std::string lists = R"("short_factor": [1, 1, 1, 1, 1, 1, 1, 1],
                               "long_factor": [2, 2, 2, 2, 2, 2, 2, 2])";
  const RopeConfig rope = read(R"("original_max_position_embeddings": 64,
      "rope_scaling": {"rope_type": "longrope", "factor": 100, )" +
                               lists + "}")
                              .rope;
  EXPECT_EQ(rope.original_positions, 64);
  EXPECT_DOUBLE_EQ(rope.scale, std::sqrt(1.0 + std::log(4.0) / std::log(64.0)));
}

TEST(RopeSettingsTest, MistakesNameTheDictionary) {
  expect_refused(R"("rope_scaling": [1])", {"\"rope_scaling\"", "object"});
  expect_refused(R"("rope_parameters": 3)", {"\"rope_parameters\"", "object"});
  expect_refused(R"("rope_scaling": {"type": "ntk", "factor": 2})", {"'ntk'", "yarn"});
  expect_refused(R"("rope_scaling": {"factor": 2})", {"rope_type"});
  for (const char* kind : {"linear", "dynamic", "llama3"}) {
    expect_refused(
        concat(R"("rope_scaling": {"original_max_position_embeddings": 8, "type": ")", kind, "\"}"),
        {"factor"});
  }
  expect_refused(R"("rope_scaling": {"type": "linear", "factor": 0})", {"factor", "positive"});
  expect_refused(R"("rope_scaling": {"type": "linear", "factor": "2"})", {"factor is no number"});
  expect_refused(R"("rope_scaling": {"type": "linear", "factor": 2, "beta": 1})", {"'beta'"});
  expect_refused(R"("rope_scaling": {"type": "longrope", "short_factor": [1], "long_factor": []})",
                 {"lists of 8"});
  expect_refused(R"("rope_scaling": {"type": "llama3", "factor": 2, "low_freq_factor": 4,
                     "high_freq_factor": 4, "original_max_position_embeddings": 8})",
                 {"high_freq_factor"});
  expect_refused(R"("partial_rotary_factor": 0.5)", {"rotate as a whole"});
  expect_refused(R"("partial_rotary_factor": 1.5)", {"partial_rotary_factor"}, "glm4_moe");
}

}  // namespace
}  // namespace switchyard
