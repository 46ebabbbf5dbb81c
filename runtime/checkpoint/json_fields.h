// Structs as JSON objects: strict both ways, every key once, floats exact.
#pragma once

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/value_text.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {

// What a type needs to be read and written:
//   a struct:        visit_fields(visit, fields), which calls visit("key", fields.member) for every
//                    member; `fields` is the struct or a constant one
//   an enumeration:  const Choices<E>& names_of(E), the name of each value
// Both are found beside the type, by argument-dependent lookup.

/// Where in which file a value stands, for messages: made for every value, spelled out for few.
class JsonPlace {
 public:
  /// The whole of a file, or what stands under a key of it. Both must outlive the place.
  JsonPlace(const std::string& source, std::string_view key) : source_(source), key_(key) {}
  /// A member or an item of what stands at `parent`, which must outlive the place.
  JsonPlace(const JsonPlace& parent, std::string_view key)
      : source_(parent.source_), parent_(&parent), key_(key) {}
  JsonPlace(const JsonPlace& parent, size_t item)
      : source_(parent.source_), parent_(&parent), item_(item) {}

  const std::string& source() const { return source_; }
  /// As "config.layers[2]".
  std::string path() const {
    const std::string above = parent_ == nullptr ? "" : parent_->path();
    if (item_) return concat(above, "[", *item_, "]");
    return above.empty() ? printable(key_) : concat(above, ".", printable(key_));
  }

  [[noreturn]] void refuse(const boost::json::value& value, std::string_view expected) const {
    fail_input(source_, ": \"", path(), "\" is ", printable(boost::json::serialize(value)),
               "; expected ", expected);
  }

 private:
  const std::string& source_;
  const JsonPlace* parent_ = nullptr;
  std::string_view key_;
  std::optional<size_t> item_;
};

/// Lists of more items than this are refused before anything is made of them.
inline constexpr size_t kMostJsonItems = size_t{1} << 20;

template <typename T>
struct JsonForm;

template <typename T>
boost::json::value to_json(const T& value) {
  return JsonForm<T>::write(value);
}

template <typename T>
void from_json(const boost::json::value& json, T& value, const JsonPlace& place) {
  JsonForm<T>::read(json, value, place);
}

/// Reads the members of an object, then knows which keys were none.
class JsonObjectReader {
 public:
  JsonObjectReader(const boost::json::value& json, const JsonPlace& place)
      : object_(json.if_object()), place_(place) {
    if (object_ == nullptr) place.refuse(json, "an object");
  }

  template <typename T>
  void operator()(const char* key, T& value) {
    known_.push_back(key);
    const boost::json::value* found = object_->if_contains(key);
    if (found == nullptr) {
      fail_input(place_.source(), ": has no \"", JsonPlace(place_, key).path(),
                 "\"; the file is damaged or of another version");
    }
    from_json(*found, value, JsonPlace(place_, key));
  }

  /// Throws for a key that was not asked for.
  void finish() const {
    for (const auto& item : *object_) {
      if (std::ranges::count(known_, std::string_view(item.key())) > 0) continue;
      fail_input(place_.source(), ": has the unknown key \"",
                 JsonPlace(place_, std::string_view(item.key())).path(),
                 "\"; the file is damaged or of another version");
    }
  }

 private:
  const boost::json::object* object_;
  const JsonPlace& place_;
  std::vector<std::string_view> known_;
};

template <std::integral T>
struct JsonForm<T> {
  static boost::json::value write(T value) {
    if constexpr (std::same_as<T, bool>) return value;
    return static_cast<int64_t>(value);
  }
  static void read(const boost::json::value& json, T& value, const JsonPlace& place) {
    if constexpr (std::same_as<T, bool>) {
      if (!json.is_bool()) place.refuse(json, "true or false");
      value = json.get_bool();
    } else {
      constexpr int64_t kLow = std::numeric_limits<T>::min();
      constexpr int64_t kHigh = std::numeric_limits<T>::max();
      const int64_t* number = json.if_int64();
      if (number == nullptr || *number < kLow || *number > kHigh) {
        place.refuse(json, concat("a whole number from ", kLow, " to ", kHigh));
      }
      value = static_cast<T>(*number);
    }
  }
};

/// A string with the shortest text that reads back as the same number: the JSON parser rounds
/// numbers with a fraction more than once.
template <std::floating_point T>
struct JsonForm<T> {
  static boost::json::value write(T value) {
    SWITCHYARD_CHECK(std::isfinite(value), value);
    char text[64];
    return boost::json::string_view(
        text, static_cast<size_t>(std::to_chars(text, std::end(text), value).ptr - text));
  }
  static void read(const boost::json::value& json, T& value, const JsonPlace& place) {
    const boost::json::string* text = json.if_string();
    const std::optional<T> number =
        text == nullptr ? std::nullopt : parse_number<T>({text->data(), text->size()});
    if (!number || !std::isfinite(*number)) {
      place.refuse(json, "a finite number in quotes, as \"0.5\"");
    }
    value = *number;
  }
};

/// Left for others to read.
template <>
struct JsonForm<boost::json::value> {
  static void read(const boost::json::value& json, boost::json::value& value, const JsonPlace&) {
    value = json;
  }
};

template <>
struct JsonForm<std::string> {
  static boost::json::value write(const std::string& value) { return boost::json::string(value); }
  static void read(const boost::json::value& json, std::string& value, const JsonPlace& place) {
    if (!json.is_string()) place.refuse(json, "a string");
    value = std::string(json.get_string());
  }
};

template <typename T>
requires std::is_enum_v<T>
struct JsonForm<T> {
  static boost::json::value write(T value) {
    for (const auto& [name, each] : names_of(value)) {
      if (each == value) return boost::json::string_view(name.data(), name.size());
    }
    SWITCHYARD_CHECK(false, "an enumeration's value without a name: ", static_cast<int>(value));
    return nullptr;
  }
  static void read(const boost::json::value& json, T& value, const JsonPlace& place) {
    const boost::json::string* text = json.if_string();
    try {
      value = parse_choice<T>(text == nullptr ? std::string_view() : std::string_view(*text),
                              names_of(value));
    } catch (const BadValue& expected) {
      place.refuse(json, expected.what());
    }
  }
};

/// Null stands for nothing.
template <typename T>
struct JsonForm<std::optional<T>> {
  static boost::json::value write(const std::optional<T>& value) {
    return value ? to_json(*value) : nullptr;
  }
  static void read(const boost::json::value& json, std::optional<T>& value,
                   const JsonPlace& place) {
    value.reset();
    if (!json.is_null()) from_json(json, value.emplace(), place);
  }
};

template <typename T>
struct JsonForm<std::vector<T>> {
  static boost::json::value write(const std::vector<T>& value) {
    boost::json::array items;
    for (const T& item : value) items.push_back(to_json(item));
    return items;
  }
  static void read(const boost::json::value& json, std::vector<T>& value, const JsonPlace& place) {
    const boost::json::array* items = json.if_array();
    if (items == nullptr || items->size() > kMostJsonItems) {
      place.refuse(json, concat("a list of at most ", kMostJsonItems, " items"));
    }
    value.clear();
    for (const boost::json::value& item : *items) {
      T& read = value.emplace_back();
      from_json(item, read, JsonPlace(place, value.size() - 1));
    }
  }
};

template <typename T>
struct JsonForm<std::map<std::string, T>> {
  static boost::json::value write(const std::map<std::string, T>& value) {
    boost::json::object object;
    for (const auto& [key, item] : value) object.emplace(key, to_json(item));
    return object;
  }
  static void read(const boost::json::value& json, std::map<std::string, T>& value,
                   const JsonPlace& place) {
    const boost::json::object* object = json.if_object();
    if (object == nullptr) place.refuse(json, "an object");
    value.clear();
    for (const auto& item : *object) {
      from_json(item.value(), value[std::string(item.key())],
                JsonPlace(place, std::string_view(item.key())));
    }
  }
};

template <typename T>
requires std::is_class_v<T>
struct JsonForm<T> {
  static boost::json::value write(const T& value) {
    boost::json::object object;
    const auto visit = [&](const char* key, const auto& member) {
      object.emplace(key, to_json(member));
    };
    visit_fields(visit, value);
    return object;
  }
  static void read(const boost::json::value& json, T& value, const JsonPlace& place) {
    JsonObjectReader reader(json, place);
    visit_fields(reader, value);
    reader.finish();
  }
};

/// `Fields` is `Struct` or a constant one.
template <typename Fields, typename Struct>
concept FieldsOf = std::same_as<std::remove_const_t<Fields>, Struct>;

}  // namespace switchyard
