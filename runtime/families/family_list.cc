// The descriptions that are a part of the program.
#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/base/nearest_name.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/embedded_files.h"
#include "runtime/families/family.h"

namespace switchyard {
namespace {

const std::string_view* find_description(const std::string& name) {
  for (const auto& [known, text] : embedded_families()) {
    if (known == name) return &text;
  }
  return nullptr;
}

Family load(const std::string& name, int depth) {
  const std::string_view* text = find_description(name);
  SWITCHYARD_CHECK(text != nullptr && depth < 8, "configs/families/", name, ".yaml");
  const std::string base = base_of(name, *text);
  if (base.empty()) return parse_family(name, *text, nullptr);
  const Family begin = load(base, depth + 1);
  return parse_family(name, *text, &begin);
}

const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = [] {
    std::vector<Family> all;
    for (const auto& [name, text] : embedded_families()) all.push_back(load(std::string(name), 0));
    return all;
  }();
  return kFamilies;
}

}  // namespace

std::vector<std::string> known_model_types() {
  std::vector<std::string> types;
  for (const Family& family : families()) {
    types.insert(types.end(), family.model_types.begin(), family.model_types.end());
  }
  std::ranges::sort(types);
  return types;
}

const Family& family_of(const std::string& model_type, const std::string& source) {
  for (const Family& family : families()) {
    if (std::ranges::count(family.model_types, model_type) > 0) return family;
    if (std::ranges::count(family.refused_types, model_type) > 0) {
      fail_input(source, ": model_type '", printable(model_type),
                 "' is not supported: ", family.refusal);
    }
  }
  std::string known;
  for (const std::string& type : known_model_types()) {
    known += concat(known.empty() ? "" : ", ", type);
  }
  fail_input(source, ": model_type '", printable(model_type), "' is unknown",
             suggestion(model_type, known_model_types()), "; known are ", known);
}

}  // namespace switchyard
