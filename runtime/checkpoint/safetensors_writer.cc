#include "runtime/checkpoint/safetensors_writer.h"

#include <string_view>

#include "kernels/base/error.h"
#include "runtime/checkpoint/little_endian.h"
#include "runtime/checkpoint/safetensors_file.h"
#include "runtime/requests/json_text.h"

namespace switchyard {
namespace {

/// Where the tensors stand, counted from the start of the data.
std::vector<StoragePlan> place_tensors(const SafetensorsPlan& plan) {
  std::vector<StoragePlan> storages;
  int64_t offset = 0;
  for (const SafetensorsPlan::Tensor& tensor : plan.tensors) {
    const SafetensorsType* type = find_safetensors_type(tensor.type);
    SWITCHYARD_CHECK(type != nullptr && type->bits % 8 == 0, tensor.type);
    StoragePlan storage{offset, 1, type->bits / 8};
    for (const int64_t size : tensor.shape) storage.num_elements *= size;
    offset += storage.num_elements * storage.item_bytes;
    storages.push_back(storage);
  }
  return storages;
}

/// Appends "key": with what separates it from the entry before it.
void append_key(std::string_view key, std::string& json) {
  if (json.back() != '{') json += ',';
  append_json_string(key, json);
  json += ':';
}

void append_metadata(const std::map<std::string, std::string>& metadata, std::string& json) {
  append_key(kSafetensorsMetadata, json);
  json += '{';
  for (const auto& [key, text] : metadata) {
    append_key(key, json);
    append_json_string(text, json);
  }
  json += '}';
}

}  // namespace

std::string safetensors_type_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "F32";
    case DType::kF16:
      return "F16";
    case DType::kBF16:
      return "BF16";
    case DType::kI32:
      return "I32";
    case DType::kI64:
      return "I64";
    case DType::kU8:
      return "U8";
  }
  return {};
}

std::string safetensors_header(const SafetensorsPlan& plan) {
  constexpr size_t kAlignment = 8;
  const std::vector<StoragePlan> storages = place_tensors(plan);
  std::string json = "{";
  if (!plan.metadata.empty()) append_metadata(plan.metadata, json);
  for (size_t i = 0; i < storages.size(); ++i) {
    const SafetensorsPlan::Tensor& tensor = plan.tensors[i];
    const StoragePlan& storage = storages[i];
    append_key(tensor.name, json);
    json += concat(R"({"dtype":")", tensor.type, R"(","shape":)", shape_text(tensor.shape, ","),
                   R"(,"data_offsets":[)", storage.offset, ",",
                   storage.offset + storage.num_elements * storage.item_bytes, "]}");
  }
  json += '}';
  json.resize((json.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  std::string bytes;
  append_little_endian(static_cast<uint64_t>(json.size()), bytes);
  return bytes + json;
}

std::vector<StoragePlan> safetensors_storages(const SafetensorsPlan& plan) {
  const auto data_begin = static_cast<int64_t>(safetensors_header(plan).size());
  std::vector<StoragePlan> storages = place_tensors(plan);
  for (StoragePlan& storage : storages) storage.offset += data_begin;
  return storages;
}

int64_t safetensors_bytes(const SafetensorsPlan& plan) {
  const std::vector<StoragePlan> storages = safetensors_storages(plan);
  if (storages.empty()) return static_cast<int64_t>(safetensors_header(plan).size());
  const StoragePlan& last = storages.back();
  return last.offset + last.num_elements * last.item_bytes;
}

void write_safetensors_file(const SafetensorsPlan& plan, const StorageSource& source,
                            ThreadPool& pool, const ByteCounter& counter, StagedFile& file) {
  const std::string header = safetensors_header(plan);
  const std::vector<StoragePlan> storages = safetensors_storages(plan);
  file.write_at(0, header);
  write_pieces(
      storages, split_storages(storages), source, pool, counter, [](size_t, std::string_view) {},
      file);
  file.close();
}

}  // namespace switchyard
