#include "runtime/checkpoint/untrusted_json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>
#include <unordered_set>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

namespace json = boost::json;
using json::error_code;

/// Follows a parse without building anything: finds keys that stand twice, and bounds the rest. The
/// names are those that json::basic_parser calls.
class JsonChecker {
 public:
  static constexpr size_t max_object_size = static_cast<size_t>(-1);
  static constexpr size_t max_array_size = static_cast<size_t>(-1);
  static constexpr size_t max_key_size = static_cast<size_t>(-1);
  static constexpr size_t max_string_size = static_cast<size_t>(-1);

  JsonChecker(const std::string& source, const JsonLimits& limits)
      : source_(source), limits_(limits) {}

  bool on_document_begin(error_code&) { return true; }
  bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code&) {
    keys_.emplace_back();
    return count();
  }
  bool on_object_end(size_t, error_code&) {
    keys_.pop_back();
    return true;
  }
  bool on_array_begin(error_code&) { return count(); }
  bool on_array_end(size_t, error_code&) { return true; }
  bool on_key_part(json::string_view part, size_t length, error_code&) {
    key_.append(part.data(), part.size());
    if (length > limits_.max_key_bytes) {
      fail_input(source_, ": holds a key of more than ", limits_.max_key_bytes, " bytes, '",
                 printable(key_), "'");
    }
    return true;
  }
  bool on_key(json::string_view part, size_t length, error_code& error) {
    on_key_part(part, length, error);
    if (!keys_.back().insert(key_).second) {
      fail_input(source_, ": holds '", printable(key_), "' twice in one object");
    }
    key_.clear();
    return true;
  }
  bool on_string_part(json::string_view, size_t, error_code&) { return true; }
  bool on_string(json::string_view, size_t, error_code&) { return count(); }
  bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_int64(int64_t, json::string_view, error_code&) { return count(); }
  bool on_uint64(uint64_t, json::string_view, error_code&) { return count(); }
  bool on_double(double, json::string_view, error_code&) { return count(); }
  bool on_bool(bool, error_code&) { return count(); }
  bool on_null(error_code&) { return count(); }
  bool on_comment_part(json::string_view, error_code&) { return true; }
  bool on_comment(json::string_view, error_code&) { return true; }

 private:
  bool count() {
    if (++num_values_ > limits_.max_values) {
      fail_input(source_, ": holds more than ", limits_.max_values, " values");
    }
    return true;
  }

  const std::string& source_;
  const JsonLimits& limits_;
  size_t num_values_ = 0;
  std::string key_;
  std::vector<std::unordered_set<std::string>> keys_;  // of the open objects
};

}  // namespace

json::value parse_untrusted_json(std::string_view text, const std::string& source,
                                 const JsonLimits& limits) {
  const size_t wrong_byte = find_invalid_utf8(text);
  if (wrong_byte != std::string_view::npos) {
    fail_input(source, ": is not UTF-8 at its byte ", wrong_byte);
  }
  json::parse_options options;
  options.max_depth = limits.max_depth;
  error_code error;
  json::basic_parser<JsonChecker> checker(options, source, limits);
  const size_t used = checker.write_some(false, text.data(), text.size(), error);
  if (!error && used < text.size()) error = json::error::extra_data;
  if (error) {
    fail_input(source, ": is no valid JSON at its byte ", used, ": ", error.message());
  }
  return json::parse({text.data(), text.size()}, {}, options);
}

}  // namespace switchyard
