// The metadata of flat tensors, right and wrong.
#include "runtime/checkpoint/fairseq_flat.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/fairseq_case.h"

namespace switchyard {
namespace {

/// The metadata of a file whose model has a flat tensor of this name.
std::vector<FlatParameter> parse(const std::string& metadata,
                                 const std::string& flat = "x.flat_param_0",
                                 const std::string& key = "shard_metadata") {
  const std::string bytes = pickle_text::whole(pickle_text::dict({{key, metadata}}));
  TorchTensor tensor;
  tensor.name = flat;
  return read_flat_parameters(Pickle::parse({bytes.begin(), bytes.end()}, "a.pt"), "a.pt",
                              {tensor});
}

/// Metadata of x.flat_param_0 with the given parts.
std::string metadata_of(const std::vector<std::pair<std::string, std::string>>& parts,
                        int copies = 1) {
  using namespace pickle_text;
  const std::string module = pickle_text::dict(
      {{"fsdp_path", text("x")},
       {"params", pickle_text::dict({{"flat_param_0", pickle_text::dict(parts)}})}});
  return pickle_text::dict(
      {{"param_metadata", list(std::vector<std::string>(static_cast<size_t>(copies), module))}});
}

std::vector<std::pair<std::string, std::string>> good_parts() {
  using namespace pickle_text;
  return {{"names", list({text("a"), text("_fsdp_wrapped_module.b")})},
          {"shapes", list({call("torch", "Size", {numbers({2, 3})}), numbers({4})})},
          {"numels", list({number(6), number(4)})},
          {"padding", number(1)}};
}

TEST(FairseqFlatTest, ReadsMetadata) {
  for (const char* key : {"shard_metadata", "fsdp_metadata"}) {
    const std::vector<FlatParameter> flat =
        parse(metadata_of(good_parts()), "x._fpw_module.flat_param_0", key);
    ASSERT_EQ(flat.size(), 1u);
    EXPECT_EQ(flat[0].name, "x.flat_param_0");
    EXPECT_EQ(flat[0].names, (std::vector<std::string>{"x.a", "x.b"}));
    EXPECT_EQ(flat[0].shapes, (std::vector<std::vector<int64_t>>{{2, 3}, {4}}));
    EXPECT_EQ(flat[0].padding, 1);
    EXPECT_EQ(flat[0].spread, FlatSpread::kAllShards);
  }
  EXPECT_TRUE(parse("N", "x.fc1.weight").empty());  // whole tensors: whatever stands there
  EXPECT_TRUE(is_flat_name("flat_param_12"));
  EXPECT_TRUE(is_flat_name("a.flat_param"));
  EXPECT_FALSE(is_flat_name("flat_param_0.weight"));
  EXPECT_FALSE(is_flat_name("a.xflat_param_0"));
}

TEST(FairseqFlatTest, RefusesMetadataThatDoesNotAddUp) {
  using namespace pickle_text;
  const auto with = [](const std::string& key, const std::string& value) {
    auto parts = good_parts();
    for (auto& [name, text] : parts) {
      if (name == key) text = value;
    }
    return error_of([&] { parse(metadata_of(parts)); });
  };
  expect_parts(with("names", list({text("a")})), {"a.pt", "x.flat_param_0", "1 names, 2 shapes"});
  expect_parts(with("names", list({text("a"), text("a")})), {"'x.a' stands twice"});
  expect_parts(with("names", list({text("a"), "N"})), {"'names' has None"});
  expect_parts(with("names", "N"), {"'names' is None; expected a list"});
  expect_parts(with("numels", list({number(6), number(5)})), {"'x.b' has the numel 5"});
  expect_parts(with("numels", list({number(6), number(-4)})), {"a numel is the number -4"});
  expect_parts(with("shapes", list({numbers({2, 3}), "N"})), {"a shape is None"});
  const int64_t huge = int64_t{1} << 62;
  expect_parts(with("shapes", list({numbers({2, 3}), numbers({huge, huge, huge})})),
               {"not the product"});
  expect_parts(with("padding", number(-1)), {"'padding' is the number -1"});
  expect_parts(with("padding", "N"), {"'padding' is None"});
  expect_parts(error_of([&] { parse(metadata_of({{"names", "]"}})); }), {"has no 'shapes'"});
  expect_parts(error_of([&] { parse(metadata_of(good_parts(), 2)); }), {"described twice"});
  expect_parts(error_of([&] { parse(metadata_of(good_parts()), "y.flat_param_0"); }),
               {"'y.flat_param_0' is flat", "does not describe it"});
  expect_parts(error_of([&] { parse("N"); }), {"a.pt", "x.flat_param_0", "'shard_metadata'"});
  expect_parts(error_of([&] { parse("}"); }), {"has no 'param_metadata'"});
  expect_parts(error_of([&] {
                 parse(pickle_text::dict({{"param_metadata", list({"N"})}}));
               }),
               {"has no 'fsdp_path'"});
}

TEST(FairseqFlatTest, LongNamesAreNotMultiplied) {
  using namespace pickle_text;
  // A path of 100 kB before each of thousands of short names would make gigabytes.
  const std::string module = pickle_text::dict(
      {{"fsdp_path", text(std::string(100000, 'p'))},
       {"params", pickle_text::dict({{"flat_param_0", pickle_text::dict(good_parts())}})}});
  expect_parts(error_of([&] {
                 parse(pickle_text::dict({{"param_metadata", list({module})}}),
                       std::string(100000, 'p') + ".flat_param_0");
               }),
               {"a name has 100001 bytes", "at most 1024"});
}

TEST(FairseqFlatTest, AHugeMetadataIsRefusedInTime) {
  using namespace pickle_text;
  // One dictionary of 300 modules, each with the same 5,000 flat tensors.
  std::vector<std::pair<std::string, std::string>> params;
  for (int i = 0; i < 5000; ++i) params.emplace_back(concat("p", i), "N");
  std::string modules =
      "](" + pickle_text::dict({{"fsdp_path", text("y")}, {"params", pickle_text::dict(params)}}) +
      std::string("q\x01", 2);
  for (int i = 1; i < 300; ++i) modules += std::string("h\x01", 2);
  expect_parts(error_of([&] {
                 parse(pickle_text::dict({{"param_metadata", modules + "e"}}));
               }),
               {"a.pt", "names are described"});
}

}  // namespace
}  // namespace switchyard
