// Reading one config.json by a description.
#include "runtime/families/family_settings.h"

#include <gtest/gtest.h>

#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

namespace json = boost::json;

const char* const kDescription = R"(
model_types: [test]
settings:
  width: {key: hidden_size, default: 64}
  experts: {key: [num_local_experts, num_experts]}
  theta: {key: rope_theta, default: 1e4}
  tied: {key: tie, default: false}
  layers: {key: dense_layers}
  act: {key: hidden_act, default: silu, meanings: {silu: silu, gelu_new: gelu_tanh, "true": relu}}
  fixed: 7
requirements:
  - {key: use_cla, values: ["false"], default: false}
  - {key: scoring, values: [softmax, sigmoid]}
  - {key: window_layers, values: ["0"], default: 28, when: {key: use_window, values: ["true"]}}
ignored_keys: [seed, "vit_*"]
)";

/// Settings of a config.json of these entries.
class Settings {
 public:
  explicit Settings(const std::string& entries)
      : family_(parse_family("test", kDescription, nullptr)),
        config_(json::parse("{" + entries + "}").as_object()),
        settings_(family_, config_, source_) {}
  const FamilySettings* operator->() const { return &settings_; }

 private:
  const std::string source_ = "dir/config.json";
  const Family family_;
  const json::object config_;
  const FamilySettings settings_;
};

template <typename Action>
void expect_refused(std::initializer_list<std::string_view> parts, Action action) {
  const std::string message = expect_error(ErrorKind::kInput, parts, action);
  EXPECT_TRUE(message.starts_with("dir/config.json: \"")) << message;
}

TEST(FamilySettingsTest, KeysWinOverDefaults) {
  const Settings none("");
  EXPECT_EQ(none->integer("width"), 64);
  EXPECT_EQ(none->number("theta"), 1e4);
  EXPECT_FALSE(none->flag("tied"));
  EXPECT_FALSE(none->has("experts"));
  EXPECT_EQ(none->integer_or("experts", 5), 5);
  EXPECT_EQ(none->integer_or("unknown", 6), 6);
  EXPECT_EQ(none->integer("fixed"), 7);
  EXPECT_TRUE(none->integers("layers").empty());
  const Settings all(R"("hidden_size": 8, "num_experts": 3, "rope_theta": 5, "tie": true,
                        "dense_layers": [1, 2], "fixed": 9)");
  EXPECT_EQ(all->integer("width"), 8);
  EXPECT_EQ(all->integer("experts"), 3) << "the second of its keys";
  EXPECT_EQ(all->number("theta"), 5.0) << "a whole number is a number";
  EXPECT_TRUE(all->flag("tied"));
  EXPECT_EQ(all->integers("layers"), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(all->integer("fixed"), 7) << "no key gives it";
  EXPECT_EQ(Settings(R"("num_experts": 3, "num_local_experts": 4)")->integer("experts"), 4);
  EXPECT_FALSE(Settings(R"("hidden_size": null)")->has("width")) << "null stands for nothing";
}

TEST(FamilySettingsTest, MeaningsTranslate) {
  EXPECT_EQ(Settings("")->value("act"), json::value("silu"));
  EXPECT_EQ(Settings(R"("hidden_act": "gelu_new")")->value("act"), json::value("gelu_tanh"));
  EXPECT_EQ(Settings(R"("hidden_act": true)")->value("act"), json::value("relu"));
  expect_refused({"\"hidden_act\": \"swish\"", "known are gelu_new, silu, true"},
                 [] { Settings(R"("hidden_act": "swish")")->value("act"); });
  const auto choose = [](const std::string& entries) {
    return Settings(entries)->choice<int>("act", {{"silu", 1}, {"relu", 2}});
  };
  EXPECT_EQ(choose(""), 1);
  EXPECT_EQ(choose(R"("hidden_act": true)"), 2);
  expect_refused({"hidden_act", "silu, relu"}, [&] { choose(R"("hidden_act": "gelu_new")"); });
}

TEST(FamilySettingsTest, WrongTypesNameTheKeyAndItsValue) {
  expect_refused({"\"hidden_size\": \"8\"", "whole number"},
                 [] { Settings(R"("hidden_size": "8")")->integer("width"); });
  expect_refused({"\"hidden_size\": 8.5"},
                 [] { Settings(R"("hidden_size": 8.5)")->integer("width"); });
  expect_refused({"\"hidden_size\": -1", "from 1 to 10"},
                 [] { Settings(R"("hidden_size": -1)")->integer("width", 1, 10); });
  expect_refused({"\"hidden_size\": 11"},
                 [] { Settings(R"("hidden_size": 11)")->integer("width", 1, 10); });
  expect_refused({"\"hidden_size\": 18446744073709551615"},
                 [] { Settings(R"("hidden_size": 18446744073709551615)")->integer("width"); });
  expect_refused({"\"num_local_experts\" is missing"}, [] { Settings("")->integer("experts"); });
  expect_refused({"\"rope_theta\": true", "a number"},
                 [] { Settings(R"("rope_theta": true)")->number("theta"); });
  expect_refused({"\"tie\": 1", "true or false"}, [] { Settings(R"("tie": 1)")->flag("tied"); });
  expect_refused({"\"dense_layers\": 1", "list"},
                 [] { Settings(R"("dense_layers": 1)")->integers("layers"); });
  expect_refused({"\"dense_layers\": [1,\"2\"]", "list"},
                 [] { Settings(R"("dense_layers": [1, "2"])")->integers("layers"); });
}

TEST(FamilySettingsTest, RequirementsAreChecked) {
  EXPECT_NO_THROW(Settings(R"("use_cla": false, "scoring": "sigmoid")"));
  expect_refused({"\"use_cla\": true", "supported is false"},
                 [] { Settings(R"("use_cla": true)"); });
  expect_refused({"\"scoring\": \"relu\"", "softmax or sigmoid"},
                 [] { Settings(R"("scoring": "relu")"); });
  EXPECT_NO_THROW(Settings(R"("window_layers": 5)"));
  EXPECT_NO_THROW(Settings(R"("window_layers": 0, "use_window": true)"));
  expect_refused({"\"window_layers\": 5", "where use_window is true"},
                 [] { Settings(R"("window_layers": 5, "use_window": true)"); });
  expect_refused({"\"window_layers\" is missing", "stands for 28"},
                 [] { Settings(R"("use_window": true)"); });
}

TEST(FamilySettingsTest, UnknownKeysAreRefused) {
  const auto check = [](const std::string& entries) {
    const Settings settings(entries);
    settings->integer("width");
    settings->require_all_known();
  };
  EXPECT_NO_THROW(check(R"("hidden_size": 8, "seed": 3, "vit_depth": 2, "use_cla": false)"));
  EXPECT_NO_THROW(check(R"("nothing": null)"));
  expect_refused({"\"hidden_sise\": 8", "model_type test"}, [&] { check(R"("hidden_sise": 8)"); });
  EXPECT_NO_THROW(check(R"("tie": true)")) << "the description knows it; this model has no use";
  expect_refused({"\"xvit_depth\""}, [&] { check(R"("xvit_depth": 8)"); });
}

}  // namespace
}  // namespace switchyard
