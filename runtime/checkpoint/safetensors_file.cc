#include "runtime/checkpoint/safetensors_file.h"

#include <algorithm>
#include <boost/json.hpp>
#include <string_view>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

namespace json = boost::json;

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit

struct StoredType {
  std::string_view name;
  DType dtype;
};

constexpr StoredType kStoredTypes[] = {
    {"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"I64", DType::kI64},
    {"I32", DType::kI32}, {"U8", DType::kU8},   {"BOOL", DType::kU8}};

/// Turns one header into entries.
class HeaderParser {
 public:
  HeaderParser(const RandomFile& file, int64_t data_begin) : file_(file), begin_(data_begin) {}

  TensorEntry parse(const std::string& name, const json::value& value) {
    name_ = name;
    const json::object* fields = value.if_object();
    if (fields == nullptr || !fields->contains("dtype") || !fields->contains("shape") ||
        !fields->contains("data_offsets")) {
      fail("expected an object with dtype, shape and data_offsets");
    }
    TensorEntry entry;
    entry.dtype = dtype(fields->at("dtype"));
    entry.shape = numbers(fields->at("shape"), "its shape", kMaxRank);
    check_size(entry.shape);
    entry.strides = row_major_strides(entry.shape);
    const std::vector<int64_t> range = numbers(fields->at("data_offsets"), "its data_offsets", 2);
    const int64_t data_bytes = file_.size() - begin_;
    if (range.size() != 2 || range[0] > range[1] || range[1] > data_bytes) {
      fail(concat("its data_offsets are no range within the ", data_bytes, " bytes of data"));
    }
    if (range[1] - range[0] != entry.bytes()) {
      fail(concat("its data_offsets span ", range[1] - range[0], " bytes; its shape needs ",
                  entry.bytes()));
    }
    entry.offset = begin_ + range[0];
    return entry;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    fail_input(file_.path(), ": tensor '", printable(name_), "': ", problem);
  }

  DType dtype(const json::value& value) const {
    const json::string* text = value.if_string();
    for (const StoredType& type : kStoredTypes) {
      if (text != nullptr && *text == type.name) return type.dtype;
    }
    fail(concat("its dtype is ", printable(json::serialize(value)),
                "; expected F32, F16, BF16, I64, I32, U8 or BOOL"));
  }

  std::vector<int64_t> numbers(const json::value& value, const char* what, size_t most) const {
    const json::array* items = value.if_array();
    if (items == nullptr || items->size() > most) {
      fail(concat(what, " is no list of at most ", most, " numbers"));
    }
    std::vector<int64_t> result;
    for (const json::value& item : *items) {
      const int64_t* number = item.if_int64();
      if (number == nullptr || *number < 0) {
        fail(concat(what, " holds ", printable(json::serialize(item)),
                    "; expected numbers from 0 up"));
      }
      result.push_back(*number);
    }
    return result;
  }

  void check_size(const std::vector<int64_t>& shape) const {
    __int128 count = 1;
    for (const int64_t size : shape) {
      count *= std::max<int64_t>(size, 1);
      if (count > int64_t{1} << 56) fail("its sizes multiply to more than can be counted");
    }
  }

  const RandomFile& file_;
  const int64_t begin_;
  std::string name_;
};

json::object read_json(RandomFile& file, int64_t& data_begin) {
  char length_bytes[kLengthBytes] = {};
  if (file.size() < kLengthBytes) {
    fail_input(file.path(), ": has ", file.size(), " bytes, which is no safetensors file");
  }
  file.read_at(0, kLengthBytes, length_bytes, "the length of the header");
  const auto length = load_little_endian<uint64_t>(length_bytes);
  const int64_t most = std::min(kMaxHeaderBytes, file.size() - kLengthBytes);
  if (length > static_cast<uint64_t>(most)) {
    fail_input(file.path(), ": declares a header of ", length, " bytes; at most ", most,
               " are possible");
  }
  data_begin = kLengthBytes + static_cast<int64_t>(length);
  std::string text(static_cast<size_t>(length), '\0');
  file.read_at(kLengthBytes, static_cast<int64_t>(length), text.data(), "the header");
  json::error_code error;
  json::parse_options options;
  options.max_depth = 4;
  json::value value = json::parse(text, error, {}, options);
  if (error || !value.is_object()) {
    fail_input(file.path(), ": its header is no JSON object",
               error ? concat(": ", error.message()) : "");
  }
  return std::move(value.as_object());
}

}  // namespace

std::map<std::string, TensorEntry> read_safetensors_header(RandomFile& file) {
  int64_t data_begin = 0;
  const json::object header = read_json(file, data_begin);
  HeaderParser parser(file, data_begin);
  std::map<std::string, TensorEntry> tensors;
  for (const auto& item : header) {
    const std::string name(item.key());
    if (name != "__metadata__") tensors.emplace(name, parser.parse(name, item.value()));
  }
  std::vector<const TensorEntry*> order;
  for (const auto& [name, entry] : tensors) order.push_back(&entry);
  std::ranges::sort(
      order, {}, [](const TensorEntry* entry) { return std::pair(entry->offset, entry->bytes()); });
  int64_t next = data_begin;
  for (const TensorEntry* entry : order) {
    if (entry->offset != next) {
      fail_input(file.path(), ": its tensors leave a gap or overlap at byte ", next);
    }
    next += entry->bytes();
  }
  if (next != file.size()) {
    fail_input(file.path(), ": its tensors end at byte ", next, ", the file at ", file.size());
  }
  return tensors;
}

}  // namespace switchyard
