#include "runtime/stored_pieces.h"

namespace switchyard {
namespace {

void add_types(const TensorEntry& entry, std::set<std::string>& types) {
  for (const TensorEntry& part : entry.parts) add_types(part, types);
  if (!entry.parts.empty()) return;
  switch (entry.encoding) {
    case TensorEncoding::kPlain:
      types.insert(std::string(name_of(entry.dtype)));
      break;
    case TensorEncoding::kFp8Block:
      types.insert("fp8");
      break;
    case TensorEncoding::kMxfp4:
      types.insert("mxfp4");
      break;
    case TensorEncoding::kPacked:
      types.insert("packed");
      break;
  }
}

}  // namespace

std::string stored_type(const TensorEntry& entry) {
  std::set<std::string> types;
  add_types(entry, types);
  std::string text;
  for (const std::string& type : types) text += (text.empty() ? "" : " and ") + type;
  return text;
}

int64_t StoredPieces::add(const TensorEntry& entry) {
  int64_t bytes = 0;
  for (const TensorEntry& part : entry.parts) bytes += add(part);
  if (!entry.parts.empty()) return bytes;
  for (const TensorExtent& extent : entry.extents) files_.insert(extent.file);
  if (entry.encoding == TensorEncoding::kPacked) {
    const bool is_new = packed_.emplace(entry.file, entry.offset).second;
    return is_new ? entry.extents.front().count : 0;
  }
  if (entry.extents.empty()) files_.insert(entry.file);
  for (const TensorEntry& scale : entry.scale) {
    if (scales_.emplace(scale.file, scale.offset).second) bytes += add(scale);
  }
  switch (entry.encoding) {
    case TensorEncoding::kPlain:
      return bytes + entry.bytes();
    case TensorEncoding::kFp8Block:
      return bytes + entry.num_elements();
    case TensorEncoding::kMxfp4:
      return bytes + entry.num_elements() / 2;
    case TensorEncoding::kPacked:  // counted above
      break;
  }
  return bytes;
}

}  // namespace switchyard
