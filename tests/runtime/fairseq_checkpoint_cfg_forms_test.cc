// The forms in which files hold their configuration.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "runtime/checkpoint/config_tree.h"
#include "tests/runtime/fairseq_case.h"

namespace switchyard {
namespace {

using namespace std::string_literals;
using namespace pickle_text;

using Items = std::vector<std::pair<std::string, std::string>>;

std::string space(const Items& items) {
  return object("argparse", "Namespace", pickle_text::dict(items));
}

/// A container of omegaconf with its `_content`.
std::string container(const std::string& content, const std::string& name = "DictConfig") {
  return object(
      "omegaconf." + std::string(name == "DictConfig" ? "dictconfig" : "listconfig"), name,
      pickle_text::dict({{"_metadata", object("omegaconf.base", "ContainerMetadata", "}")},
                         {"_parent", "N"},
                         {"_content", content}}));
}

std::string node(const std::string& value, const std::string& name = "AnyNode") {
  return object("omegaconf.nodes", name, pickle_text::dict({{"_parent", "N"}, {"_val", value}}));
}

FairseqConfigPart read(const Items& top) {
  const std::string bytes = whole(pickle_text::dict(top));
  return read_fairseq_config(Pickle::parse({bytes.begin(), bytes.end()}, "a.pt"), "a.pt");
}

const FairseqSettings kExpected = {
    {"common.fp16", "True"}, {"model.decoder_layers", "4"}, {"model.activation_fn", "'gelu'"}};

TEST(FairseqCfgFormsTest, SectionsInAnyContainer) {
  const Items common = {{"fp16", flag(true)}, {"seed", number(1)}};
  const Items model = {{"decoder_layers", number(4)}, {"activation_fn", text("gelu")}};
  const Items nodes = {{"decoder_layers", node(number(4), "IntegerNode")},
                       {"activation_fn", node(text("gelu"))}};
  const std::vector<std::string> models = {
      pickle_text::dict(model), space(model), container(pickle_text::dict(nodes)),
      object("fairseq.dataclass.configs", "LMConfig", pickle_text::dict(model))};
  for (const std::string& one : models) {
    const Items sections = {{"common", pickle_text::dict(common)}, {"model", one}};
    EXPECT_EQ(read({{"cfg", pickle_text::dict(sections)}}).settings, kExpected);
    EXPECT_EQ(read({{"cfg", space(sections)}}).settings, kExpected);
    EXPECT_EQ(read({{"cfg", container(pickle_text::dict(sections))}, {"args", "N"}}).settings,
              kExpected);
    EXPECT_EQ(read({{"args", pickle_text::dict(sections)}}).settings, kExpected);
  }
}

TEST(FairseqCfgFormsTest, FlatArgumentsStandForAllSections) {
  const Items items = {{"arch", text("transformer_lm_gpt")},
                       {"task", text("language_modeling")},
                       {"fp16", flag(false)},
                       {"add_bos_token", flag(true)},
                       {"tokens_per_sample", number(64)},
                       {"_name", text("x")}};
  // But for cfg.common: the reference rounds no weights by args.fp16.
  const FairseqSettings expected = {{"model._name", "'transformer_lm_gpt'"},
                                    {"model.add_bos_token", "True"},
                                    {"model.tokens_per_sample", "64"},
                                    {"task.add_bos_token", "True"},
                                    {"task.tokens_per_sample", "64"}};
  for (const std::string& args : {space(items), pickle_text::dict(items)}) {
    EXPECT_EQ(read({{"args", args}}).settings, expected);
    EXPECT_EQ(read({{"args", args}, {"cfg", "N"}}).settings, expected);
    // As the reference: args before cfg.
    EXPECT_EQ(read({{"cfg", pickle_text::dict(
                                {{"model", pickle_text::dict({{"decoder_layers", number(9)}})}})},
                    {"args", args}})
                  .settings,
              expected);
  }
}

TEST(FairseqCfgFormsTest, SaysWhatIsMissing) {
  EXPECT_NE(read({}).missing.find("'args' is nothing"), std::string::npos);
  EXPECT_NE(read({{"cfg", "N"}, {"args", "N"}}).missing.find("'args' is None"), std::string::npos);
  EXPECT_NE(read({{"cfg", "}"}}).missing.find("'cfg' holds no settings"), std::string::npos);
  EXPECT_NE(read({{"args", space({{"lr", number(1)}})}}).missing.find("'args' holds no settings"),
            std::string::npos);
  EXPECT_NE(read({{"cfg", pickle_text::dict({{"model", "N"}})}}).missing.find("no settings"),
            std::string::npos);
}

TEST(FairseqCfgFormsTest, RefusesOtherObjects) {
  const auto refused = [](const Items& top, const std::vector<std::string>& parts) {
    expect_parts(error_of([&] { read(top); }), parts);
  };
  refused({{"cfg", number(5)}}, {"a.pt: cfg is the number 5", "Namespace"});
  refused({{"args", text("x")}}, {"a.pt: args is the string 'x'"});
  refused({{"cfg", call("argparse", "Namespace", {})}}, {"a.pt: cfg is a call of argparse"});
  refused({{"cfg", container("N")}}, {"a.pt: cfg is a call of omegaconf.dictconfig.DictConfig"});
  refused({{"cfg", call("os", "system", {text("touch PWNED")})}}, {"a call of os.system"});
  refused({{"cfg", pickle_text::dict({{"model", "]"}})}}, {"a.pt: cfg.model is a list of 0"});
  refused({{"cfg", pickle_text::dict({{"model", "}"}, {"task", number(3)}})}},
          {"a.pt: cfg.task is the number 3"});
}

/// The text of the setting model.activation_fn with this value.
std::string setting(const std::string& value) {
  const FairseqConfigPart part = read(
      {{"cfg", pickle_text::dict({{"model", pickle_text::dict({{"activation_fn", value}})}})}});
  return part.settings.at("model.activation_fn");
}

TEST(FairseqCfgFormsTest, Values) {
  EXPECT_EQ(setting(text("gelu")), "'gelu'");
  EXPECT_EQ(setting(real(0.5)), "0.5");
  EXPECT_EQ(setting("N"), "None");
  EXPECT_EQ(setting(node("N")), "None");
  EXPECT_EQ(setting(node("\x88")), "True");
  EXPECT_EQ(setting(container("N", "ListConfig")), "None");
  EXPECT_EQ(setting(container("](NNe", "ListConfig")), "a list of 2");
  EXPECT_EQ(setting(object("omegaconf.nodes", "AnyNode", pickle_text::dict({{"val", number(3)}}))),
            "3");
}

TEST(FairseqCfgFormsTest, Enumerations) {
  const std::string type = global("fairseq.dataclass.constants", "Choices");
  const std::string by_value = type + text("gelu") + "\x85R";
  const std::string by_name = call("builtins", "getattr", {type, text("gelu")});
  for (const std::string& member : {by_value, by_name, node(by_value, "EnumNode"), node(by_name)}) {
    EXPECT_EQ(setting(member), "'gelu'");
  }
  EXPECT_EQ(setting(call("os", "system", {text("gelu")})), "a call of os.system");
  EXPECT_EQ(setting(call("builtins", "getattr", {global("os", "x"), text("gelu")})),
            "a call of builtins.getattr");
  EXPECT_EQ(setting(type + "NN\x86R"), "a call of fairseq.dataclass.constants.Choices");
}

TEST(FairseqCfgFormsTest, References) {
  const auto read_with = [](const auto& wrap, const auto& hold, const std::string& value) {
    return read({{"cfg", wrap({{"model", wrap({{"moe_freq", hold(text(value))}})},
                               {"task", wrap({{"a", hold(number(7))},
                                              {"b", hold(text("${task.a}"))},
                                              {"loop", hold(text("${task.loop}"))},
                                              {"x", hold(text("${task.y}"))},
                                              {"y", hold(text("${task.x}"))}})},
                               {"top", hold(number(9))}})}})
        .settings.at("model.moe_freq");
  };
  const auto dict = [](const Items& items) { return pickle_text::dict(items); };
  const auto config = [](const Items& items) { return container(pickle_text::dict(items)); };
  const auto plain = [](const std::string& value) { return value; };
  const auto any_node = [](const std::string& value) { return node(value); };
  const auto check = [&](const auto& resolved) {
    EXPECT_EQ(resolved("${task.a}"), "7");
    EXPECT_EQ(resolved("${task.b}"), "7");
    EXPECT_EQ(resolved("${top}"), "9");
    EXPECT_EQ(resolved("plain"), "'plain'");
    EXPECT_EQ(resolved("${task.a"), "'${task.a'");
    for (const char* bad : {"${task.c}", "${none.a}", "${}", "${.}", "${top.x}", "${task.loop}",
                            "${task.x}", "${task.a.b.c}"}) {
      expect_parts(error_of([&] { resolved(bad); }), {"a.pt: cfg.model.moe_freq refers to", bad});
    }
    const std::string endless = "${" + std::string(1 << 20, '.') + "}";
    expect_parts(error_of([&] { resolved(endless); }), {"cfg.model.moe_freq refers to"});
  };
  check([&](const std::string& value) { return read_with(dict, plain, value); });
  check([&](const std::string& value) { return read_with(space, plain, value); });
  check([&](const std::string& value) { return read_with(config, any_node, value); });
}

TEST(FairseqCfgFormsTest, ObjectsThatHoldThemselvesEnd) {
  // A dictionary that is its own section, a namespace that is its own, a node that is its value.
  EXPECT_EQ(read({{"cfg",
                   "}q\x05" + text("model") + "h\x05s" + text("decoder_layers") + number(3) + "s"}})
                .settings.at("model.decoder_layers"),
            "3");
  const std::string self_space = global("argparse", "Namespace") + ")\x81q\x05}(" + text("model") +
                                 "h\x05" + text("decoder_layers") + number(3) + "ub";
  EXPECT_EQ(read({{"cfg", self_space}}).settings.at("model.decoder_layers"), "3");
  EXPECT_EQ(read({{"args", self_space}}).settings.at("model.decoder_layers"), "3");
  const std::string self_node =
      global("omegaconf.nodes", "AnyNode") + ")\x81q\x05}" + text("_val") + "h\x05sb";
  EXPECT_EQ(setting(self_node), "a call of omegaconf.nodes.AnyNode");
  const std::string self_content =
      global("omegaconf.dictconfig", "DictConfig") + ")\x81q\x05}" + text("_content") + "h\x05sb";
  expect_parts(error_of([&] { read({{"cfg", self_content}}); }), {"a.pt: cfg is a call"});
  expect_parts(error_of([&] {
                 read({{"cfg", pickle_text::dict({{"model", self_content}})}});
               }),
               {"a.pt: cfg.model is a call"});
}

TEST(FairseqCfgFormsTest, TheLastOfEqualKeysCounts) {
  std::string items = "}(";
  for (int i = 0; i < 50000; ++i) items += text("moe_freq") + text("${none.a}");
  items += text("moe_freq") + number(2) + "u";
  EXPECT_EQ(read({{"cfg", pickle_text::dict({{"model", items}})}}).settings.at("model.moe_freq"),
            "2");
}

TEST(FairseqCfgFormsTest, TheReferencesFiles) {
  EXPECT_EQ(headers_of("cfg_dictconfig")[1].config.settings.at("model.moe_expert_count"), "8");
  EXPECT_EQ(headers_of("cfg_args_only_dense")[0].config.settings.at("model._name"),
            "'transformer_lm_gpt'");
}

}  // namespace
}  // namespace switchyard
