// Real checkpoints taken apart, to be written again in other forms.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/runtime/fairseq_case.h"

namespace switchyard {

/// A tensor with its contents, row-major.
struct RawTensor {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::string bytes;

  int64_t num_elements() const { return static_cast<int64_t>(bytes.size()) / size_of(dtype); }
};

inline RawTensor read_raw(const Checkpoint& checkpoint, const std::string& name) {
  const TensorEntry& entry = checkpoint.index.at(name);
  RawTensor raw{name, entry.dtype, entry.shape, std::string(static_cast<size_t>(entry.bytes()), 0)};
  TensorReader(checkpoint.index).read(name, entry, 0, entry.num_elements(), raw.bytes.data());
  return raw;
}

/// All tensors by their canonical names, in the order of names.
inline std::vector<RawTensor> read_all(const Checkpoint& checkpoint) {
  std::vector<RawTensor> all;
  for (const auto& [name, entry] : checkpoint.index.tensors) {
    all.push_back(read_raw(checkpoint, name));
  }
  return all;
}

/// A setting's text as a pickled value.
inline std::string setting_pickle(const std::string& text) {
  using namespace pickle_text;
  if (text == "None") return "N";
  if (text == "True" || text == "False") return flag(text == "True");
  if (text.starts_with("'")) return pickle_text::text(text.substr(1, text.size() - 2));
  if (text.find_first_of(".e") != std::string::npos) return real(std::stod(text));
  return number(std::stoll(text));
}

/// The settings as a dictionary of dictionaries.
inline std::string cfg_pickle(const FairseqSettings& settings) {
  std::map<std::string, std::vector<std::pair<std::string, std::string>>> sections;
  for (const auto& [name, text] : settings) {
    const size_t dot = name.find('.');
    sections[name.substr(0, dot)].emplace_back(name.substr(dot + 1), setting_pickle(text));
  }
  std::vector<std::pair<std::string, std::string>> items;
  for (const auto& [section, values] : sections) {
    items.emplace_back(section, pickle_text::dict(values));
  }
  return pickle_text::dict(items);
}

enum class ContainerForm { kZip, kLegacy };

/// Writes a torch file of the tensors, each with a storage of its own, and more entries beside
/// `model`: key and pickled value.
inline std::string write_torch_file(const std::vector<RawTensor>& tensors,
                                    const std::vector<std::pair<std::string, std::string>>& more,
                                    ContainerForm form = ContainerForm::kZip) {
  std::vector<std::pair<std::string, std::string>> model;
  std::vector<ZipItem> items = {{"a/data.pkl", ""}};
  std::vector<LegacyStorage> storages;
  for (const RawTensor& tensor : tensors) {
    const char* type = tensor.dtype == DType::kF32   ? "FloatStorage"
                       : tensor.dtype == DType::kF16 ? "HalfStorage"
                                                     : "BFloat16Storage";
    std::vector<int64_t> strides(tensor.shape.size(), 1);
    for (size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * tensor.shape[i];
    const std::string key = std::to_string(storages.size());
    model.emplace_back(tensor.name, pickle_text::tensor({.key = key,
                                                         .type = type,
                                                         .storage_elements = tensor.num_elements(),
                                                         .shape = tensor.shape,
                                                         .strides = strides}));
    storages.push_back({key, tensor.bytes, tensor.num_elements()});
    items.push_back({"a/data/" + key, tensor.bytes});
  }
  std::vector<std::pair<std::string, std::string>> top = more;
  top.emplace_back("model", pickle_text::dict(model));
  if (form == ContainerForm::kLegacy) return write_legacy(pickle_text::dict(top), storages);
  items[0].payload = pickle_text::whole(pickle_text::dict(top));
  return write_zip(items);
}

/// Expects the two checkpoints to have the same tensors with the same bytes, but for the ones that
/// mean nothing and a tied output matrix.
inline void expect_same_tensors(const Checkpoint& got, const Checkpoint& expected) {
  for (const auto& [name, entry] : expected.index.tensors) {
    if (name == "decoder.output_projection.weight" || is_leftover(name)) continue;
    ASSERT_EQ(got.index.tensors.count(name), 1u) << name;
    EXPECT_EQ(got.index.at(name).shape, entry.shape) << name;
    EXPECT_EQ(got.index.at(name).dtype, entry.dtype) << name;
    EXPECT_TRUE(read_raw(got, name).bytes == read_raw(expected, name).bytes) << name;
  }
}

}  // namespace switchyard
