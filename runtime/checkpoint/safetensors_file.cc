#include "runtime/checkpoint/safetensors_file.h"

#include <algorithm>
#include <boost/json.hpp>
#include <string>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/untrusted_json.h"

namespace switchyard {
namespace {

namespace json = boost::json;

constexpr int64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
/// The largest models have some 200,000 tensors, in tens of files.
constexpr size_t kMaxTensors = size_t{1} << 18;

constexpr TensorSupport kReadable = TensorSupport::kReadable;
constexpr TensorSupport kUnknown = TensorSupport::kUnknownType;

constexpr SafetensorsType kTypes[] = {
    {"F32", 32, kReadable, DType::kF32},      {"F16", 16, kReadable, DType::kF16},
    {"BF16", 16, kReadable, DType::kBF16},    {"I64", 64, kReadable, DType::kI64},
    {"I32", 32, kReadable, DType::kI32},      {"U8", 8, kReadable, DType::kU8},
    {"I8", 8, kReadable, DType::kU8},         {"BOOL", 8, kReadable, DType::kU8},
    {"F8_E4M3", 8, kReadable, DType::kU8},    {"F8_E8M0", 8, kReadable, DType::kU8},
    {"F8_E5M2", 8, kUnknown, DType::kU8},     {"F8_E4M3FNUZ", 8, kUnknown, DType::kU8},
    {"F8_E5M2FNUZ", 8, kUnknown, DType::kU8}, {"I16", 16, kUnknown, DType::kU8},
    {"U16", 16, kUnknown, DType::kU8},        {"U32", 32, kUnknown, DType::kU8},
    {"U64", 64, kUnknown, DType::kU8},        {"F64", 64, kUnknown, DType::kU8},
    {"C64", 64, kUnknown, DType::kU8},        {"F6_E2M3", 6, kUnknown, DType::kU8},
    {"F6_E3M2", 6, kUnknown, DType::kU8},     {"F4", 4, kUnknown, DType::kU8}};

/// Bytes [begin, end) of a file.
struct ByteRange {
  int64_t begin = 0;
  int64_t end = 0;

  int64_t size() const { return end - begin; }
};

/// Turns one header into tensors.
class HeaderParser {
 public:
  HeaderParser(const RandomFile& file, int64_t data_begin) : file_(file), begin_(data_begin) {}

  void parse(const std::string& name, const json::value& value);
  /// The tensors in the order of their data, which must fill the file.
  std::vector<TorchTensor> finish();

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    fail_input(file_.path(), ": tensor '", printable(name_), "': ", problem);
  }

  const SafetensorsType& type(const json::value& value) const;
  std::vector<int64_t> numbers(const json::value& value, const char* what, size_t most) const;
  ByteRange range(const json::value& value) const;
  int64_t bytes_of(const std::vector<int64_t>& shape, const SafetensorsType& type) const;

  const RandomFile& file_;
  const int64_t begin_;
  std::string name_;
  std::vector<std::pair<ByteRange, TorchTensor>> tensors_;
};

const SafetensorsType& HeaderParser::type(const json::value& value) const {
  const json::string* text = value.if_string();
  const SafetensorsType* type = text == nullptr ? nullptr : find_safetensors_type(*text);
  if (type != nullptr) return *type;
  fail(concat("its dtype is ", printable(json::serialize(value)),
              "; expected one of the format's, as F32, F16, BF16, F8_E4M3 or U8"));
}

std::vector<int64_t> HeaderParser::numbers(const json::value& value, const char* what,
                                           size_t most) const {
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

ByteRange HeaderParser::range(const json::value& value) const {
  const std::vector<int64_t> ends = numbers(value, "its data_offsets", 2);
  const int64_t data_bytes = file_.size() - begin_;
  if (ends.size() != 2 || ends[0] > ends[1] || ends[1] > data_bytes) {
    fail(concat("its data_offsets are no range within the ", data_bytes,
                " bytes of data; the file is damaged or cut short"));
  }
  return {begin_ + ends[0], begin_ + ends[1]};
}

int64_t HeaderParser::bytes_of(const std::vector<int64_t>& shape,
                               const SafetensorsType& type) const {
  // A product of two numbers below 2^63 fits 128 bits, one of all sizes need not.
  __int128 bound = 1;
  int64_t count = 1;
  for (const int64_t size : shape) {
    bound *= std::max<int64_t>(size, 1);
    if (bound > int64_t{1} << 56) fail("its sizes multiply to more than can be counted");
    count *= size;
  }
  const int64_t bits = count * type.bits;
  if (bits % 8 != 0) {
    fail(concat("its ", count, " elements of ", type.bits, " bits are no whole bytes"));
  }
  return bits / 8;
}

void HeaderParser::parse(const std::string& name, const json::value& value) {
  name_ = name;
  const json::object* fields = value.if_object();
  if (fields == nullptr || !fields->contains("dtype") || !fields->contains("shape") ||
      !fields->contains("data_offsets")) {
    fail("expected an object with dtype, shape and data_offsets");
  }
  const SafetensorsType& stored = type(fields->at("dtype"));
  TorchTensor tensor{name, stored.support, std::string(stored.name), {}, {}};
  tensor.entry.dtype = stored.dtype;
  tensor.entry.shape = numbers(fields->at("shape"), "its shape", kMaxRank);
  tensor.entry.strides = row_major_strides(tensor.entry.shape);
  const int64_t bytes = bytes_of(tensor.entry.shape, stored);
  const ByteRange place = range(fields->at("data_offsets"));
  if (place.size() != bytes) {
    fail(concat("its data_offsets span ", place.size(), " bytes; its shape needs ", bytes));
  }
  tensor.entry.offset = place.begin;
  tensor.places = {{place.begin - begin_, file_.size() - begin_, 0}};
  tensors_.emplace_back(place, std::move(tensor));
}

std::vector<TorchTensor> HeaderParser::finish() {
  std::ranges::sort(tensors_, {}, [](const std::pair<ByteRange, TorchTensor>& item) {
    return std::pair(item.first.begin, item.first.end);
  });
  int64_t next = begin_;
  std::vector<TorchTensor> tensors;
  for (auto& [place, tensor] : tensors_) {
    if (place.begin != next) {
      name_ = tensor.name;
      fail(concat("begins at byte ", place.begin, "; expected ", next,
                  ": tensors must follow each other without a gap or an overlap"));
    }
    next = place.end;
    tensors.push_back(std::move(tensor));
  }
  if (next != file_.size()) {
    fail_input(file_.path(), ": its tensors end at byte ", next, ", the file at ", file_.size());
  }
  return tensors;
}

json::object read_json(RandomFile& file, int64_t& data_begin) {
  char length_bytes[kSafetensorsLengthBytes] = {};
  if (file.size() < kSafetensorsLengthBytes) {
    fail_input(file.path(), ": has ", file.size(), " bytes, which is no safetensors file");
  }
  file.read_at(0, kSafetensorsLengthBytes, length_bytes, "the length of the header");
  if (std::string_view(length_bytes, sizeof length_bytes) == "version ") {
    fail_input(file.path(), ": is a pointer of Git LFS, not the file; fetch it with git lfs pull");
  }
  const auto length = load_little_endian<uint64_t>(length_bytes);
  const int64_t most = std::min(kMaxHeaderBytes, file.size() - kSafetensorsLengthBytes);
  if (length > static_cast<uint64_t>(most)) {
    fail_input(file.path(), ": declares a header of ", length, " bytes; at most ", most,
               " are possible");
  }
  data_begin = kSafetensorsLengthBytes + static_cast<int64_t>(length);
  std::string text(static_cast<size_t>(length), '\0');
  file.read_at(kSafetensorsLengthBytes, static_cast<int64_t>(length), text.data(), "the header");
  const std::string what = file.path() + ": its header";
  // Objects in an object, lists in them; a name with 14 values is a tensor of 8 dimensions.
  const JsonLimits limits{.max_depth = 3, .max_values = kMaxTensors * 16};
  json::value value = text.starts_with('{') ? parse_untrusted_json(text, what, limits) : nullptr;
  if (!value.is_object()) fail_input(what, " is no JSON object");
  return std::move(value.as_object());
}

void check_metadata(const RandomFile& file, const json::value& metadata) {
  const json::object* items = metadata.if_object();
  if (items != nullptr && std::ranges::all_of(*items, [](const json::key_value_pair& item) {
        return item.value().is_string();
      })) {
    return;
  }
  fail_input(file.path(), ": its ", kSafetensorsMetadata, " is no object of strings");
}

}  // namespace

const SafetensorsType* find_safetensors_type(std::string_view name) {
  const auto* found = std::ranges::find(kTypes, name, &SafetensorsType::name);
  return found == std::end(kTypes) ? nullptr : found;
}

std::vector<TorchTensor> read_safetensors_header(RandomFile& file) {
  int64_t data_begin = 0;
  const json::object header = read_json(file, data_begin);
  if (header.size() > kMaxTensors) {
    fail_input(file.path(), ": declares ", header.size(), " tensors; at most ", kMaxTensors,
               " are read");
  }
  HeaderParser parser(file, data_begin);
  for (const auto& item : header) {
    const std::string name(item.key());
    if (name == kSafetensorsMetadata) {
      check_metadata(file, item.value());
    } else {
      parser.parse(name, item.value());
    }
  }
  return parser.finish();
}

}  // namespace switchyard
