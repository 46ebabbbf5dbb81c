// Writes zip archives, pickles and legacy torch files for tests, well-formed or wrong in one chosen
// way.
#pragma once

#include <boost/crc.hpp>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/error.h"

namespace switchyard {

/// The message of the Error that `work` throws; "" if it throws none.
template <typename Work>
std::string error_of(Work&& work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

template <typename T>
std::string little_endian(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

/// One entry, written as its members say, true or not.
struct ZipItem {
  std::string name;
  std::string payload;
  uint16_t method = 0;
  uint16_t flags = 0;
  std::string local_name = {};   // "": as name
  int64_t declared_size = -1;    // -1: the payload's
  int64_t declared_header = -1;  // -1: where the local header is
  bool with_crc = true;
};

enum class ZipFormat { kPlain, kZip64 };

inline std::string zip_local_header(const ZipItem& item, uint32_t crc) {
  const std::string& name = item.local_name.empty() ? item.name : item.local_name;
  const auto size = static_cast<uint32_t>(item.payload.size());
  // The extra field (an id and 5 bytes) is only here: payloads must be found by this header.
  const std::string extra = "FB" + little_endian<uint16_t>(5) + "ZZZZZ";
  return "PK\x03\x04" + little_endian<uint16_t>(45) + little_endian(item.flags) +
         little_endian(item.method) + std::string(4, '\0') + little_endian(crc) +
         little_endian(size) + little_endian(size) +
         little_endian(static_cast<uint16_t>(name.size())) +
         little_endian(static_cast<uint16_t>(extra.size())) + name + extra;
}

inline std::string zip_central_header(const ZipItem& item, uint32_t crc, int64_t header,
                                      ZipFormat format) {
  const auto size =
      item.declared_size < 0 ? static_cast<int64_t>(item.payload.size()) : item.declared_size;
  const bool wide = format == ZipFormat::kZip64;
  const auto field = [&](int64_t value) {
    return little_endian(wide ? 0xFFFFFFFFu : static_cast<uint32_t>(value));
  };
  const std::string extra = wide ? little_endian<uint16_t>(1) + little_endian<uint16_t>(24) +
                                       little_endian(size) + little_endian(size) +
                                       little_endian(header)
                                 : "";
  return "PK\x01\x02" + little_endian<uint32_t>(45) + little_endian(item.flags) +
         little_endian(item.method) + std::string(4, '\0') + little_endian(crc) + field(size) +
         field(size) + little_endian(static_cast<uint16_t>(item.name.size())) +
         little_endian(static_cast<uint16_t>(extra.size())) + std::string(10, '\0') +
         field(header) + item.name + extra;
}

/// An archive of the items, with the given comment at its end.
inline std::string write_zip(const std::vector<ZipItem>& items,
                             ZipFormat format = ZipFormat::kPlain,
                             const std::string& comment = "") {
  std::string bytes;
  std::string directory;
  for (const ZipItem& item : items) {
    boost::crc_32_type crc;  // of no bytes: 0
    if (item.with_crc) crc.process_bytes(item.payload.data(), item.payload.size());
    const uint32_t checksum = crc.checksum();
    const int64_t header =
        item.declared_header < 0 ? static_cast<int64_t>(bytes.size()) : item.declared_header;
    bytes += zip_local_header(item, checksum) + item.payload;
    directory += zip_central_header(item, checksum, header, format);
  }
  const auto count = static_cast<int64_t>(items.size());
  const auto size = static_cast<int64_t>(directory.size());
  const auto offset = static_cast<int64_t>(bytes.size());
  bytes += directory;
  const bool wide = format == ZipFormat::kZip64;
  if (wide) {
    const auto end = static_cast<int64_t>(bytes.size());
    bytes += "PK\x06\x06" + little_endian<int64_t>(44) + little_endian<uint32_t>(0x002D002D) +
             std::string(8, '\0') + little_endian(count) + little_endian(count) +
             little_endian(size) + little_endian(offset);
    bytes += std::string("PK\x06\x07") + std::string(4, '\0') + little_endian(end) +
             little_endian<uint32_t>(1);
  }
  const auto short_count = little_endian(wide ? uint16_t{0xFFFF} : static_cast<uint16_t>(count));
  return bytes + "PK\x05\x06" + std::string(4, '\0') + short_count + short_count +
         little_endian(wide ? 0xFFFFFFFFu : static_cast<uint32_t>(size)) +
         little_endian(wide ? 0xFFFFFFFFu : static_cast<uint32_t>(offset)) +
         little_endian(static_cast<uint16_t>(comment.size())) + comment;
}

/// Opcodes of protocol 2 as strings to be concatenated.
namespace pickle_text {

inline std::string text(const std::string& value) {
  return "X" + little_endian(static_cast<uint32_t>(value.size())) + value;
}

inline std::string number(int64_t value) {
  if (value == static_cast<int32_t>(value)) {
    return "J" + little_endian(static_cast<int32_t>(value));
  }
  return "\x8a\x08" + little_endian(value);
}

inline std::string real(double value) {
  const std::string bytes = little_endian(value);
  return "G" + std::string(bytes.rbegin(), bytes.rend());  // the format's one big-endian field
}

inline std::string global(const std::string& module, const std::string& name) {
  return "c" + module + "\n" + name + "\n";
}

inline std::string tuple(const std::vector<std::string>& parts) {
  std::string bytes = "(";
  for (const std::string& part : parts) bytes += part;
  return bytes + "t";
}

inline std::string numbers(const std::vector<int64_t>& values) {
  std::vector<std::string> parts;
  for (const int64_t value : values) parts.push_back(number(value));
  return tuple(parts);
}

inline std::string call(const std::string& module, const std::string& name,
                        const std::vector<std::string>& arguments) {
  return global(module, name) + tuple(arguments) + "R";
}

/// A dictionary of the keys and values, in order.
inline std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string bytes = "}(";
  for (const auto& [key, value] : items) bytes += text(key) + value;
  return bytes + "u";
}

inline std::string flag(bool value) { return value ? "\x88" : "\x89"; }

inline std::string whole(const std::string& object) { return "\x80\x02" + object + "."; }

/// An object of a class made without calling it, with a dictionary as its state.
inline std::string object(const std::string& module, const std::string& name,
                          const std::string& state) {
  return global(module, name) + ")\x81" + state + "b";
}

/// A list of the items, in order.
inline std::string list(const std::vector<std::string>& items) {
  std::string bytes = "](";
  for (const std::string& item : items) bytes += item;
  return bytes + "e";
}

/// How a tensor is described; every member may be made wrong.
struct TensorText {
  std::string key = "0";
  std::string type = "FloatStorage";
  int64_t storage_elements = 6;
  int64_t offset = 0;
  std::vector<int64_t> shape = {2, 3};
  std::vector<int64_t> strides = {3, 1};
  std::string location = "cpu";
  std::string view = {};  // what the legacy container has behind the number of elements
};

inline std::string tensor(const TensorText& parts) {
  const std::string storage =
      tuple({text("storage"), global("torch", parts.type), text(parts.key), text(parts.location),
             number(parts.storage_elements), parts.view}) +
      "Q";
  return call("torch._utils", "_rebuild_tensor_v2",
              {storage, number(parts.offset), numbers(parts.shape), numbers(parts.strides),
               flag(false), call("collections", "OrderedDict", {})});
}

}  // namespace pickle_text

/// A storage of a legacy file, written as its members say, true or not.
struct LegacyStorage {
  std::string key;
  std::string payload;
  int64_t elements = 0;  // as the file counts them
};

/// The pickles at the start of a legacy file, each whole.
struct LegacyHeadText {
  std::string magic =
      pickle_text::whole(std::string("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", 12));
  std::string protocol = pickle_text::whole(pickle_text::number(1001));
  std::string system =
      pickle_text::whole(pickle_text::dict({{"protocol_version", pickle_text::number(1001)},
                                            {"little_endian", pickle_text::flag(true)}}));
};

/// A file in the container before torch 1.6 with `object` as its tree.
inline std::string write_legacy(const std::string& object,
                                const std::vector<LegacyStorage>& storages,
                                const LegacyHeadText& head = {}) {
  std::vector<std::string> keys;
  std::string data;
  for (const LegacyStorage& storage : storages) {
    keys.push_back(pickle_text::text(storage.key));
    data += little_endian(storage.elements) + storage.payload;
  }
  return head.magic + head.protocol + head.system + pickle_text::whole(object) +
         pickle_text::whole(pickle_text::list(keys)) + data;
}

}  // namespace switchyard
