#include "runtime/checkpoint/pickle_writer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/little_endian.h"

namespace switchyard {
void PickleWriter::integer(int64_t value) {
  if (value >= 0 && value <= std::numeric_limits<uint8_t>::max()) {
    bytes_ += 'K';
    append_little_endian(static_cast<uint8_t>(value), bytes_);
  } else if (value >= 0 && value <= std::numeric_limits<uint16_t>::max()) {
    bytes_ += 'M';
    append_little_endian(static_cast<uint16_t>(value), bytes_);
  } else if (value == static_cast<int32_t>(value)) {
    bytes_ += 'J';
    append_little_endian(static_cast<int32_t>(value), bytes_);
  } else {
    bytes_ += "\x8a\x08";  // LONG1 of 8 bytes
    append_little_endian(value, bytes_);
  }
}

void PickleWriter::real(double value) {
  bytes_ += 'G';
  char raw[sizeof value];
  std::memcpy(raw, &value, sizeof value);
  std::reverse(raw, raw + sizeof raw);  // the one big-endian number of the format
  bytes_.append(raw, sizeof raw);
}

void PickleWriter::text(std::string_view value) {
  SWITCHYARD_CHECK(value.size() <= std::numeric_limits<uint32_t>::max());
  bytes_ += 'X';
  append_little_endian(static_cast<uint32_t>(value.size()), bytes_);
  bytes_ += value;
}

void PickleWriter::global(std::string_view module, std::string_view name) {
  bytes_ += 'c';
  bytes_ += module;
  bytes_ += '\n';
  bytes_ += name;
  bytes_ += '\n';
}

void PickleWriter::begin_ordered_dict() {
  global("collections", "OrderedDict");
  bytes_ += ")R(";
}

std::string PickleWriter::finish() {
  bytes_ += '.';
  return std::move(bytes_);
}

}  // namespace switchyard
