// Descriptions of families: the language, what they inherit, and that all of it is documented.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "runtime/embedded_files.h"
#include "runtime/families/family.h"
#include "runtime/families/tensor_roles.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

const fs::path kRoot = fs::path(SWITCHYARD_TEST_DATA) / ".." / "..";

const char* const kBase = R"(
model_types: [plain]
settings:
  width: {key: hidden_size, default: 64}
  act: {key: [hidden_act, act], default: silu, meanings: {swish: silu, "true": 1}}
  fixed: halves
  none: null
  text: "7"
requirements:
  - {key: bias, values: ["false"], default: false}
  - {key: kind, values: [a, b], when: {key: other, values: ["3"]}}
ignored_keys: [seed]
ignored_tensors: ["*.inv_freq"]
tensors:
  query: layers.{layer}.q
  ffn_up:
    - layers.{layer}.gate
    - layers.{layer}.up
  expert_up: {weight: "w.{expert}", bias: "b.{expert}"}
variants:
  one: {}
  two:
    expert_up: {weight: w, layout: experts_in_out}
)";

Family parse(const std::string& text, const Family* base = nullptr) {
  return parse_family("test", text, base);
}

TEST(FamilyParserTest, ReadsEveryForm) {
  const Family family = parse(kBase);
  EXPECT_EQ(family.model_types, std::vector<std::string>{"plain"});
  const SettingRule& width = family.settings.at("width");
  EXPECT_EQ(width.keys, std::vector<std::string>{"hidden_size"});
  EXPECT_EQ(width.value, json::value(64));
  const SettingRule& act = family.settings.at("act");
  EXPECT_EQ(act.keys, (std::vector<std::string>{"hidden_act", "act"}));
  EXPECT_EQ(act.meanings.at("swish"), json::value("silu"));
  EXPECT_EQ(act.meanings.at("true"), json::value(1));
  EXPECT_TRUE(family.settings.at("fixed").keys.empty());
  EXPECT_EQ(family.settings.at("fixed").value, json::value("halves"));
  EXPECT_TRUE(family.settings.at("none").value.is_null());
  EXPECT_EQ(family.settings.at("text").value, json::value("7")) << "quoted: a text";
  ASSERT_EQ(family.requirements.size(), 2u);
  EXPECT_EQ(family.requirements[0].absent, json::value(false));
  EXPECT_EQ(family.requirements[1].when_key, "other");
  EXPECT_TRUE(family.requirements[1].absent.is_null());
  const TensorRule& up = family.tensors.at("ffn_up");
  EXPECT_EQ(up.weights,
            (std::vector<std::string>{"layers.{layer}.gate.weight", "layers.{layer}.up.weight"}));
  EXPECT_EQ(up.biases[1], "layers.{layer}.up.bias");
  EXPECT_EQ(family.tensors.at("expert_up").weights, std::vector<std::string>{"w.{expert}"});
  ASSERT_EQ(family.variants.size(), 2u);
  EXPECT_EQ(family.variants[1].tensors.at("expert_up").layout, TensorLayout::kExpertsInOut);
}

TEST(FamilyParserTest, BeginsWithItsBase) {
  const Family base = parse(kBase);
  const Family own = parse(R"(
base: plain
settings: {width: 8, more: 1.5}
requirements: [{key: bias, values: ["true"], default: true}]
ignored_keys: [noise]
tensors: {query: q}
variants: {three: {}}
)",
                           &base);
  EXPECT_TRUE(own.model_types.empty()) << "types are never inherited";
  EXPECT_EQ(own.settings.at("width").value, json::value(8));
  EXPECT_TRUE(own.settings.at("width").keys.empty());
  EXPECT_EQ(own.settings.at("more").value, json::value(1.5));
  EXPECT_EQ(own.settings.at("fixed").value, json::value("halves"));
  ASSERT_EQ(own.requirements.size(), 2u) << "one on each key";
  EXPECT_EQ(own.requirements[1].values, std::vector<std::string>{"true"});
  EXPECT_EQ(own.ignored_keys, (std::vector<std::string>{"seed", "noise"}));
  EXPECT_EQ(own.tensors.at("query").weights, std::vector<std::string>{"q.weight"});
  EXPECT_EQ(own.tensors.count("ffn_up"), 1u);
  ASSERT_EQ(own.variants.size(), 1u);
  EXPECT_EQ(own.variants[0].name, "three");
  EXPECT_EQ(base_of("test", "base: plain\n"), "plain");
  EXPECT_EQ(base_of("test", "settings: {}\n"), "");
}

TEST(FamilyParserTest, MistakesInDescriptionsAreFaultsOfTheProgram) {
  for (const char* text :
       {"setting: {}\n", "[1]\n", "settings: {a: {keys: b}}\n", "tensors: {query: {weights: a}}\n",
        "tensors: {query: {weight: a, layout: out_in}}\n"}) {
    SCOPED_TRACE(text);
    expect_error(ErrorKind::kInternal, {"test"}, [&] { parse(text); });
  }
}

TEST(FamilyListTest, TypesAreKnownRefusedOrUnknown) {
  EXPECT_EQ(family_of("kimi_k2", "config.json").name, "deepseek_v3");
  expect_error(ErrorKind::kInput, {"a/config.json", "'t5'", "encoder-decoder"},
               [] { family_of("t5", "a/config.json"); });
  expect_error(ErrorKind::kInput, {"'granitemoeshared'", "only granitemoe"},
               [] { family_of("granitemoeshared", "c"); });
  expect_error(ErrorKind::kInput, {"'mixtra'", "did you mean 'mixtral'", "olmoe"},
               [] { family_of("mixtra", "c"); });
  const std::vector<std::string> types = known_model_types();
  EXPECT_TRUE(std::ranges::is_sorted(types));
  EXPECT_EQ(std::ranges::adjacent_find(types), types.end()) << "a type of two families";
}

std::string read(const fs::path& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// Whether a text has `name` between these characters.
bool has(const std::string& text, char quote, const std::string& name) {
  return text.find(quote + name + quote) != std::string::npos;
}

TEST(FamilyListTest, EverySettingIsReadAndDocumented) {
  std::string code;
  for (const auto& entry : fs::directory_iterator(kRoot / "runtime" / "families")) {
    if (entry.path().extension() == ".cc") code += read(entry.path());
  }
  const std::string readme = read(kRoot / "configs" / "families" / "README.md");
  std::set<std::string> names;
  for (const std::string& type : known_model_types()) {
    for (const auto& [name, rule] : family_of(type, "").settings) names.insert(name);
  }
  EXPECT_GT(names.size(), 70u);
  for (const std::string& name : names) {
    EXPECT_TRUE(has(code, '"', name)) << "nothing reads the setting " << name;
    EXPECT_TRUE(has(readme, '`', name)) << "configs/families/README.md leaves out " << name;
  }
}

TEST(FamilyListTest, EveryRoleIsDocumentedAndKnown) {
  const std::string readme = read(kRoot / "configs" / "families" / "README.md");
  const std::string roles = read(kRoot / "runtime" / "families" / "tensor_roles.cc");
  const auto check = [&](const std::map<std::string, TensorRule>& tensors) {
    for (const auto& [role, rule] : tensors) {
      EXPECT_TRUE(has(readme, '`', role)) << role;
      EXPECT_TRUE(has(roles, '"', role) || role == "head_keys_and_values") << role;
      EXPECT_FALSE(rule.weights.empty()) << role;
    }
  };
  for (const std::string& type : known_model_types()) {
    check(family_of(type, "").tensors);
    for (const TensorVariant& variant : family_of(type, "").variants) check(variant.tensors);
  }
}

TEST(FamilyListTest, EveryTypeAndPresetIsInTheTableOfSupport) {
  const std::string table = read(kRoot / "configs" / "models" / "README.md");
  for (const std::string& type : known_model_types()) EXPECT_TRUE(has(table, '`', type)) << type;
  const std::string readme = read(kRoot / "README.md");
  for (const auto& [name, text] : embedded_presets()) {
    EXPECT_TRUE(has(readme, '`', std::string(name))) << name;
  }
}

}  // namespace
}  // namespace switchyard
