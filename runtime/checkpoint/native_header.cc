#include "runtime/checkpoint/native_header.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/tensor.h"
#include "runtime/checkpoint/config_json.h"
#include "runtime/checkpoint/config_names.h"
#include "runtime/checkpoint/json_fields.h"
#include "runtime/checkpoint/quantization_json.h"
#include "runtime/checkpoint/untrusted_json.h"

namespace switchyard {

namespace json = boost::json;

namespace {

constexpr const char* kFormat = "switchyard";
/// Of everything in the folder but the packing, which has a name of its own. Another one is
/// refused, except that version 1 knew no given codes.
constexpr int64_t kVersion = 2;

}  // namespace

template <typename Visit, FieldsOf<NativeFile> Fields>
void visit_fields(Visit& visit, Fields& file) {
  visit("name", file.name);
  visit("bytes", file.bytes);
}

template <typename Visit, FieldsOf<NativeExpert> Fields>
void visit_fields(Visit& visit, Fields& expert) {
  visit("file", expert.extent.file);
  visit("offset", expert.extent.offset);
  visit("bytes", expert.extent.bytes);
  visit("crc32", expert.extent.crc32);
  visit("up", expert.up);
  visit("down", expert.down);
  visit("up_codes", expert.up_codes);
  visit("down_codes", expert.down_codes);
}

template <typename Visit, FieldsOf<NativeMatrix> Fields>
void visit_fields(Visit& visit, Fields& matrix) {
  visit("file", matrix.extent.file);
  visit("offset", matrix.extent.offset);
  visit("bytes", matrix.extent.bytes);
  visit("crc32", matrix.extent.crc32);
  visit("dtype", matrix.dtype);
  visit("codes", matrix.codes);
}

std::string native_extent_file(size_t number, size_t count) {
  char name[64];
  std::snprintf(name, sizeof name, "experts-%05zu-of-%05zu.bin", number, count);
  return name;
}

std::string native_header_text(const NativeHeader& header) {
  const std::pair<const char*, json::value> entries[] = {
      {"format", kFormat},
      {"version", kVersion},
      {"packing", to_json(header.packing)},
      {"source", to_json(header.source)},
      {"config", config_to_json(header.config)},
      {"files", to_json(header.files)},
      {"dense_crc32", to_json(header.dense_crc32)},
      {"matrices", to_json(header.matrices)},
  };
  std::string text = "{\n";
  for (const auto& [key, value] : entries) {
    text += concat("\"", key, "\": ", json::serialize(value), ",\n");
  }
  // A line each: there are thousands.
  text += "\"experts\": [";
  const char* next_layer = "\n[";
  for (const std::vector<NativeExpert>& layer : header.experts) {
    text += std::exchange(next_layer, ",\n[");
    const char* next_expert = "\n";
    for (const NativeExpert& expert : layer) {
      text += std::exchange(next_expert, ",\n") + json::serialize(to_json(expert));
    }
    text += "]";
  }
  return text + "]\n}\n";
}

namespace {

/// Checks what the extents and files of a header say of each other.
class LayoutChecker {
 public:
  LayoutChecker(const NativeHeader& header, const std::string& path)
      : header_(header), path_(path), extents_(header.files.size()) {}

  void run() {
    check_files();
    check_counts();
    for (size_t layer = 0; layer < header_.experts.size(); ++layer) {
      for (size_t expert = 0; expert < header_.experts[layer].size(); ++expert) {
        const NativeExpert& each = header_.experts[layer][expert];
        const std::string what = concat("expert ", expert, " of MoE layer ", layer);
        add(each.extent, what);
        check_type(each.up, what);
        check_type(each.down, what);
        check_codes(each.up_codes, what);
        check_codes(each.down_codes, what);
      }
    }
    for (const auto& [name, matrix] : header_.matrices) {
      const std::string what = concat("matrix '", printable(name), "'");
      add(matrix.extent, what);
      check_type(matrix.dtype, what);
      check_codes(matrix.codes, what);
    }
    for (size_t file = 1; file < extents_.size(); ++file) check_order(file);
  }

 private:
  template <typename... Parts>
  void require(bool condition, const Parts&... problem) const {
    if (!condition) fail_input(path_, ": ", problem..., "; the file is damaged");
  }

  void check_files() const {
    constexpr int64_t kMostBytes = int64_t{1} << 60;
    const size_t count = header_.files.size();
    require(count > 0, "names no files");
    for (size_t i = 0; i < count; ++i) {
      const NativeFile& file = header_.files[i];
      const std::string expected = i == 0 ? kNativeDenseFile : native_extent_file(i, count - 1);
      require(file.name == expected, "names file '", printable(file.name), "' in the place of ",
              expected);
      require(file.bytes >= 0 && file.bytes <= kMostBytes, file.name, " has ", file.bytes,
              " bytes");
    }
  }

  void check_counts() const {
    const ModelConfig& config = header_.config;
    require(static_cast<int64_t>(header_.experts.size()) == config.num_moe_layers(), "has experts ",
            "of ", header_.experts.size(), " layers; the model has ", config.num_moe_layers());
    for (size_t i = 0; i < header_.experts.size(); ++i) {
      const int64_t expected = config.router_of(static_cast<int>(i)).num_experts;
      require(static_cast<int64_t>(header_.experts[i].size()) == expected, "has ",
              header_.experts[i].size(), " experts of MoE layer ", i, "; the model has ", expected);
    }
  }

  void check_type(DType dtype, const std::string& what) const {
    require(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16, what,
            " is of type ", name_of(dtype));
    const ModelConfig& config = header_.config;
    require(config.weight_typing == WeightTyping::kAsStored || dtype == config.weight_dtype, what,
            " is of type ", name_of(dtype), ", the model of another");
  }

  void check_codes(const GroupQuantization& codes, const std::string& what) const {
    const bool is_fp8 = codes == e4m3_codes(codes.group) && codes.group > 0 &&
                        codes.group % 8 == 0 && codes.group <= int64_t{1} << 24;
    require(is_fp8 || codes == mxfp4_codes() || codes == GroupQuantization(), what,
            " has codes of ", codes.bits, " bits in groups of ", codes.group);
  }

  void add(const PackedExtent& extent, const std::string& what) {
    require(extent.file >= 1 && static_cast<size_t>(extent.file) < extents_.size(), what,
            " is in file number ", extent.file, " of ", header_.files.size());
    const int64_t file_bytes = header_.files[static_cast<size_t>(extent.file)].bytes;
    require(extent.offset >= 0 && extent.offset % kDirectBlock == 0, what, " begins at byte ",
            extent.offset, ", no multiple of ", kDirectBlock);
    require(extent.bytes > 0 && extent.bytes % kMemoryAlignment == 0 &&
                extent.bytes <= file_bytes &&
                extent.offset <= file_bytes - whole_blocks(extent.bytes),
            what, " takes ", extent.bytes, " bytes from byte ", extent.offset, " of a file of ",
            file_bytes);
    extents_[static_cast<size_t>(extent.file)].emplace_back(extent, what);
  }

  void check_order(size_t file) {
    std::vector<std::pair<PackedExtent, std::string>>& extents = extents_[file];
    std::ranges::stable_sort(extents, {}, [](const auto& each) { return each.first.offset; });
    int64_t end = 0;
    std::string before;
    for (const auto& [extent, what] : extents) {
      require(extent.offset >= end, what, " begins at byte ", extent.offset, " of ",
              header_.files[file].name, ", within ", before);
      end = extent.offset + whole_blocks(extent.bytes);
      before = what;
    }
    require(end == header_.files[file].bytes, header_.files[file].name, " has ",
            header_.files[file].bytes, " bytes, but what is in it ends at byte ", end);
  }

  const NativeHeader& header_;
  const std::string& path_;
  std::vector<std::vector<std::pair<PackedExtent, std::string>>> extents_;  // by file
};

void check_version(const json::value& top, const std::string& path) {
  const json::object* object = top.if_object();
  const json::value* format = object == nullptr ? nullptr : object->if_contains("format");
  if (format == nullptr || *format != json::value(kFormat)) {
    fail_input(path, ": is not the description of a converted checkpoint: expected \"format\": \"",
               kFormat, "\"");
  }
  const json::value* version = object->if_contains("version");
  if (version != nullptr && (*version == json::value(kVersion) || *version == json::value(1))) {
    return;
  }
  fail_input(path, ": is of version ",
             version == nullptr ? "none" : printable(json::serialize(*version)),
             "; this program reads version ", kVersion, ": convert the original again");
}

/// Sets a member of an object that lacks it; anything else stays for the reader to refuse.
void set_missing(json::value& at, const char* key, const json::value& value) {
  json::object* const object = at.if_object();
  if (object != nullptr && !object->contains(key)) (*object)[key] = value;
}

/// Makes a description of version 1 one of today's.
void upgrade(json::object& top) {
  const json::value none = to_json(GroupQuantization());
  json::object* const config = top.contains("config") ? top["config"].if_object() : nullptr;
  if (config != nullptr && config->contains("quantization")) {
    if (json::object* const classes = (*config)["quantization"].if_object()) {
      for (auto& item : *classes) set_missing(item.value(), "codes", "integer");
    }
  }
  if (top.contains("matrices") && top["matrices"].is_object()) {
    for (auto& item : top["matrices"].get_object()) set_missing(item.value(), "codes", none);
  }
  if (!top.contains("experts") || !top["experts"].is_array()) return;
  for (json::value& layer : top["experts"].get_array()) {
    if (!layer.is_array()) continue;
    for (json::value& expert : layer.get_array()) {
      set_missing(expert, "up_codes", none);
      set_missing(expert, "down_codes", none);
    }
  }
}

}  // namespace

NativeHeader parse_native_header(const std::string& text, const std::string& path) {
  json::value top = parse_untrusted_json(text, path);
  check_version(top, path);
  if (top.at("version") == json::value(1)) upgrade(top.as_object());
  const JsonPlace place(path, "");
  JsonObjectReader read(top, place);
  NativeHeader header;
  std::string format;
  int64_t version = 0;
  json::value config;
  read("format", format);
  read("version", version);
  read("packing", header.packing);
  read("source", header.source);
  read("config", config);
  read("files", header.files);
  read("dense_crc32", header.dense_crc32);
  read("matrices", header.matrices);
  read("experts", header.experts);
  read.finish();
  header.config = config_from_json(config, path);
  validate(header.config, path);
  LayoutChecker(header, path).run();
  return header;
}

}  // namespace switchyard
