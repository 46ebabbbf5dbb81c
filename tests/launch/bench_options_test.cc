#include "launch/bench_options.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

using Numbers = std::vector<int64_t>;

BenchOptions parse(const std::vector<std::string>& arguments) {
  BenchOptions options;
  OptionTable table = make_bench_option_table(options);
  table.apply(table.parse_config("", "run.yaml"), table.parse_arguments(arguments).assignments);
  return options;
}

TEST(BenchOptionsTest, DefaultsAreTheDocumentedOnes) {
  const BenchOptions options = parse({"limits"});
  EXPECT_EQ(options.names, std::vector<std::string>{"limits"});
  EXPECT_EQ(options.preset, "moe_15b");
  EXPECT_EQ(options.layers, 2);
  EXPECT_EQ(options.rows, (Numbers{1, 4, 16, 64, 256}));
  EXPECT_EQ(options.batches, (Numbers{1, 8, 32}));
  EXPECT_EQ(options.contexts, (Numbers{512, 2048}));
  EXPECT_FALSE(options.weight_bytes);
  EXPECT_FALSE(options.limit_bytes);
  EXPECT_EQ(options.form, ResultForm::kTable);
}

TEST(BenchOptionsTest, OptionsAreStored) {
  const BenchOptions options =
      parse({"experts",        "model", "--model",        "m",    "--layers",   "all",
             "--rows",         "3,7",   "--batches",      "2",    "--contexts", "9,10",
             "--weight-bytes", "1KiB",  "--limit-bytes",  "2MiB", "--skew",     "1.5",
             "--expert-dtype", "int4",  "--numerics",     "bf16", "--output",   "o.json",
             "--directory",    "d",     "--expert-slots", "4"});
  EXPECT_EQ(options.names, (std::vector<std::string>{"experts", "model"}));
  EXPECT_EQ(options.run.model, "m");
  EXPECT_FALSE(options.layers);
  EXPECT_EQ(options.rows, (Numbers{3, 7}));
  EXPECT_EQ(options.batches, Numbers{2});
  EXPECT_EQ(options.contexts, (Numbers{9, 10}));
  EXPECT_EQ(options.weight_bytes, 1024);
  EXPECT_EQ(options.limit_bytes, 2 << 20);
  EXPECT_EQ(options.skew, 1.5);
  EXPECT_EQ(options.run.quantization.experts.bits, 4);
  EXPECT_EQ(options.run.numerics, "bf16");
  EXPECT_EQ(options.output, "o.json");
  EXPECT_EQ(options.directory, "d");
  EXPECT_EQ(options.run.tiers.expert_slots, 4);
}

TEST(BenchOptionsTest, WhatCannotBeIsRefused) {
  const std::vector<std::vector<std::string>> wrong = {{},
                                                       {"speed"},
                                                       {"limits", "--rows", "1,,2"},
                                                       {"limits", "--rows", "0"},
                                                       {"limits", "--layers", "0"},
                                                       {"limits", "--skew", "-1"},
                                                       {"limits", "--new-tokens", "1"}};
  for (const std::vector<std::string>& arguments : wrong) {
    EXPECT_THROW(parse(arguments), Error) << (arguments.empty() ? "" : arguments.back());
  }
}

}  // namespace
}  // namespace switchyard
