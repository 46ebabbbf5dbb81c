#include "runtime/families/rope_settings.h"

#include <cmath>
#include <set>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// 0.1 m ln(factor) + 1, the magnitude that YaRN gives scores of long contexts.
double yarn_magnitude(double factor, double m) {
  return factor <= 1.0 ? 1.0 : 0.1 * m * std::log(factor) + 1.0;
}

class RopeReader {
 public:
  RopeReader(const FamilySettings& settings, int64_t head_dim, int64_t max_positions)
      : settings_(settings), head_dim_(head_dim), max_positions_(max_positions) {
    for (const char* name : {"rope_parameters", "rope_scaling"}) {
      const json::value& value = settings.key(name);
      if (value.is_null()) continue;
      if (dict_ != nullptr) {
        settings.refuse_key(name,
                            "stands beside rope_parameters, which says the same; leave one out");
      }
      dict_name_ = name;
      if (!value.is_object()) settings.refuse_key(name, "expected an object");
      dict_ = &value.get_object();
    }
    // Where config.json leaves both out; null in it means none.
    if (settings.has_key("rope_parameters") || settings.has_key("rope_scaling")) return;
    if (!settings.has("default_rope")) return;
    own_ = json::parse(settings.value("default_rope").get_string()).get_object();
    dict_ = &own_;
  }
  RopeReader(const RopeReader&) = delete;
  RopeReader& operator=(const RopeReader&) = delete;

  RopeSettings read();

 private:
  const json::value* find(const char* key) const {
    known_.insert(key);
    const json::value* value = dict_ == nullptr ? nullptr : dict_->if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  double number(const char* key, double absent) const;
  std::vector<double> factors(const char* key) const;
  RopeScaling kind() const;
  void read_yarn(RopeConfig& rope) const;
  void read_llama3(RopeConfig& rope) const;
  void read_longrope(RopeConfig& rope) const;
  int64_t original_positions(RopeScaling scaling) const;
  int64_t rotary_dim() const;
  void require_all_known() const;
  [[noreturn]] void refuse(const std::string& problem) const {
    settings_.refuse_key(dict_name_, problem);
  }

  const FamilySettings& settings_;
  const int64_t head_dim_;
  const int64_t max_positions_;
  json::object own_;  // of the family
  const json::object* dict_ = nullptr;
  const char* dict_name_ = "rope_scaling";
  mutable std::set<std::string_view> known_;
};

double RopeReader::number(const char* key, double absent) const {
  const json::value* value = find(key);
  if (value == nullptr) return absent;
  double number = std::nan("");
  if (value->is_double()) number = value->get_double();
  if (value->is_int64()) number = static_cast<double>(value->get_int64());
  if (!std::isfinite(number)) refuse(concat(key, " is no number"));
  return number;
}

std::vector<double> RopeReader::factors(const char* key) const {
  const json::value* value = find(key);
  std::vector<double> numbers;
  if (value != nullptr && value->is_array()) {
    for (const json::value& item : value->get_array()) {
      const bool is_number = item.is_double() || item.is_int64();
      const double number = is_number ? item.to_number<double>() : 0.0;
      if (number > 0.0) numbers.push_back(number);
    }
  }
  return numbers;
}

RopeScaling RopeReader::kind() const {
  const json::value* type = find("rope_type");
  const json::value* old_type = find("type");
  if (type == nullptr) type = old_type;
  if (type == nullptr) {
    // transformers 5 always writes a type; an old dictionary without one has no meaning.
    if (dict_ == nullptr || find("factor") == nullptr) return RopeScaling::kNone;
    refuse("has no rope_type");
  }
  const std::string text = plain_text(*type);
  if (text == "default") return RopeScaling::kNone;
  if (text == "linear") return RopeScaling::kLinear;
  if (text == "dynamic") return RopeScaling::kDynamic;
  if (text == "yarn") return RopeScaling::kYarn;
  if (text == "longrope" || text == "su") return RopeScaling::kLongRope;
  if (text == "llama3") return RopeScaling::kLlama3;
  refuse(concat("its type '", printable(text),
                "' is unknown; known are default, linear, dynamic, yarn, longrope and llama3"));
}

int64_t RopeReader::original_positions(RopeScaling scaling) const {
  constexpr const char* kKey = "original_max_position_embeddings";
  constexpr double kMost = double{1 << 30};
  const json::value& top = settings_.key(kKey);
  const double in_dict = number(kKey, 0.0);
  double positions = in_dict > 0.0 ? in_dict : static_cast<double>(max_positions_);
  if (!top.is_null()) {
    const double at_top = top.is_int64() ? static_cast<double>(top.get_int64()) : 0.0;
    // Releases of the reference differ in which of the two counts, but for longrope.
    if (scaling != RopeScaling::kLongRope && in_dict > 0.0 && in_dict != at_top) {
      settings_.refuse_key(kKey, concat("is not the one of ", dict_name_, "; leave one out"));
    }
    positions = at_top;
  } else if (scaling == RopeScaling::kLlama3 && in_dict == 0.0) {
    refuse(concat("has no ", kKey));
  }
  if (!(positions >= 1.0 && positions <= kMost)) {
    refuse(concat(kKey, " is no number from 1 to ", 1 << 30));
  }
  return static_cast<int64_t>(positions);
}

void RopeReader::read_yarn(RopeConfig& rope) const {
  // 0 stands for the default, as in the reference.
  rope.beta_fast = number("beta_fast", 0.0);
  if (rope.beta_fast == 0.0) rope.beta_fast = 32.0;
  rope.beta_slow = number("beta_slow", 0.0);
  if (rope.beta_slow == 0.0) rope.beta_slow = 1.0;
  if (rope.beta_fast < 0.0 || rope.beta_slow < 0.0) refuse("beta_fast or beta_slow is negative");
  const json::value* truncate = find("truncate");
  rope.truncates = truncate == nullptr || !truncate->is_bool() || truncate->get_bool();
  const double mscale = number("mscale", 0.0);
  const double mscale_all = number("mscale_all_dim", 0.0);
  const double given = number("attention_factor", 1.0);
  if (given <= 0.0) refuse("attention_factor is not positive");
  if (find("attention_factor") != nullptr) {
    rope.scale = given;
  } else if (mscale != 0.0 && mscale_all != 0.0) {
    rope.scale = yarn_magnitude(rope.factor, mscale) / yarn_magnitude(rope.factor, mscale_all);
  } else {
    rope.scale = yarn_magnitude(rope.factor, 1.0);
  }
}

void RopeReader::read_longrope(RopeConfig& rope) const {
  rope.short_factors = factors("short_factor");
  rope.long_factors = factors("long_factor");
  const auto expected = static_cast<size_t>(rope.rotary_dim / 2);
  if (rope.short_factors.size() != expected || rope.long_factors.size() != expected) {
    refuse(concat("short_factor and long_factor must be lists of ", expected, " positive numbers"));
  }
  if (settings_.flag("longrope_mscales")) {
    rope.scale = number("short_mscale", 1.0);
    rope.long_scale = number("long_mscale", 1.0);
    return;
  }
  const auto original = static_cast<double>(rope.original_positions);
  const double growth = static_cast<double>(max_positions_) / original;
  // A length at top level decides, whatever factor stands beside the lists.
  const bool is_at_top = !settings_.key("original_max_position_embeddings").is_null();
  const double given = number("factor", growth);
  const double factor = is_at_top ? growth : given;
  const double natural =
      factor <= 1.0 ? 1.0 : std::sqrt(1.0 + std::log(factor) / std::log(original));
  rope.scale = number("attention_factor", natural);
  rope.long_scale = rope.scale;
}

void RopeReader::read_llama3(RopeConfig& rope) const {
  rope.low_freq_factor = number("low_freq_factor", 0.0);
  rope.high_freq_factor = number("high_freq_factor", 0.0);
  if (rope.low_freq_factor <= 0.0 || rope.high_freq_factor <= rope.low_freq_factor) {
    refuse("low_freq_factor must be positive and high_freq_factor larger");
  }
}

void RopeReader::require_all_known() const {
  if (dict_ == nullptr) return;
  for (const auto& item : *dict_) {
    if (item.value().is_null() || known_.count(std::string_view(item.key())) > 0) continue;
    refuse(concat("'", printable(item.key()), "' is no setting of this kind of scaling"));
  }
}

int64_t RopeReader::rotary_dim() const {
  constexpr const char* kKey = "partial_rotary_factor";
  const double part = number(kKey, settings_.number_or(kKey, 1.0));
  if (!(part > 0.0 && part <= 1.0)) {
    settings_.refuse(kKey, "expected a number above 0, up to 1");
  }
  if (part != 1.0 && !settings_.flag("rotates_partly")) {
    settings_.refuse(kKey, "heads of this family rotate as a whole");
  }
  return static_cast<int64_t>(static_cast<double>(head_dim_) * part);
}

RopeSettings RopeReader::read() {
  RopeSettings result;
  RopeConfig& rope = result.rope;
  rope.layout = settings_.choice<RopeLayout>(
      "rope_layout", {{"halves", RopeLayout::kHalves}, {"interleaved", RopeLayout::kInterleaved}});
  const double theta = number("rope_theta", settings_.number_or("rope_theta", 0.0));
  if (theta == 0.0) settings_.refuse("rope_theta", "expected a number");
  rope.theta = theta;
  rope.rotary_dim = rotary_dim();
  rope.scaling = kind();
  rope.original_positions =
      rope.scaling == RopeScaling::kDynamic ? max_positions_ : original_positions(rope.scaling);
  const bool has_factor = find("factor") != nullptr;
  const double natural_factor =
      static_cast<double>(max_positions_) / static_cast<double>(rope.original_positions);
  const bool needs_factor = rope.scaling == RopeScaling::kLinear ||
                            rope.scaling == RopeScaling::kDynamic ||
                            rope.scaling == RopeScaling::kLlama3;
  if (needs_factor && !has_factor) refuse("has no factor");
  rope.factor = number("factor", rope.scaling == RopeScaling::kYarn ? natural_factor : 1.0);
  if (rope.factor <= 0.0) refuse("its factor is not positive");
  if (rope.scaling == RopeScaling::kYarn) read_yarn(rope);
  if (rope.scaling == RopeScaling::kLongRope) read_longrope(rope);
  if (rope.scaling == RopeScaling::kLlama3) read_llama3(rope);
  if (rope.scaling == RopeScaling::kDynamic && settings_.flag("dynamic_alpha")) {
    rope.alpha = number("alpha", 0.0);
    for (const char* unused : {"beta_fast", "beta_slow", "mscale", "mscale_all_dim"}) find(unused);
  }
  const double mscale_all = number("mscale_all_dim", 0.0);
  if (settings_.flag("mscale_squared") && mscale_all != 0.0) {
    const double magnitude = yarn_magnitude(rope.factor, mscale_all);
    result.softmax_scale = magnitude * magnitude;
  }
  require_all_known();
  return result;
}

}  // namespace

RopeSettings read_rope_settings(const FamilySettings& settings, int64_t head_dim,
                                int64_t max_positions) {
  return RopeReader(settings, head_dim, max_positions).read();
}

}  // namespace switchyard
