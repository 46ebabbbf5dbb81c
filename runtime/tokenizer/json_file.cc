#include "runtime/tokenizer/json_file.h"

#include <limits>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/text_file.h"

namespace switchyard {

boost::json::object read_json_object(const std::string& path, const std::string& help) {
  const std::string text = read_text_file(path, help);
  boost::system::error_code error;
  boost::json::value json = boost::json::parse(text, error);
  if (error) fail_input(path, " is not valid JSON (", error.message(), "): ", help);
  if (!json.is_object()) fail_input(path, ": expected one JSON object; ", help);
  return std::move(json.get_object());
}

int32_t read_token_id(const boost::json::value& value, std::string_view token,
                      const std::string& path) {
  if (value.is_int64()) {
    const int64_t id = value.get_int64();
    if (id >= 0 && id <= std::numeric_limits<int32_t>::max()) return static_cast<int32_t>(id);
  }
  fail_input(path, ": the id of '", printable(token),
             "' must be an integer from 0 to 2147483647, not ", boost::json::serialize(value));
}

}  // namespace switchyard
