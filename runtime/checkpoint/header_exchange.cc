#include "runtime/checkpoint/header_exchange.h"

#include <string>

namespace switchyard {

void put_tensors(ByteWriter& writer, const std::vector<TorchTensor>& tensors) {
  writer.put(static_cast<int64_t>(tensors.size()));
  for (const TorchTensor& tensor : tensors) {
    writer.put_string(tensor.name);
    writer.put(tensor.support);
    writer.put_string(tensor.storage_type);
    writer.put(tensor.entry.offset);
    writer.put(tensor.entry.dtype);
    writer.put_vector(tensor.entry.shape);
    writer.put_vector(tensor.entry.strides);
    writer.put_vector(tensor.places);
  }
}

std::vector<TorchTensor> get_tensors(ByteReader& reader) {
  std::vector<TorchTensor> tensors;
  for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
    TorchTensor& tensor = tensors.emplace_back();
    tensor.name = reader.get_string();
    tensor.support = reader.get<TensorSupport>();
    tensor.storage_type = reader.get_string();
    tensor.entry.offset = reader.get<int64_t>();
    tensor.entry.dtype = reader.get<DType>();
    tensor.entry.shape = reader.get_vector<int64_t>();
    tensor.entry.strides = reader.get_vector<int64_t>();
    tensor.places = reader.get_vector<StoragePlace>();
  }
  return tensors;
}

void exchange_headers(size_t count, ControlChannel& control,
                      const std::function<void(size_t, ByteWriter&)>& read,
                      const std::function<void(size_t, ByteReader&)>& take) {
  const auto num_ranks = static_cast<size_t>(control.size());
  ByteWriter writer;
  control.agree(
      [&] {
        for (size_t i = static_cast<size_t>(control.rank()); i < count; i += num_ranks) {
          read(i, writer);
        }
      },
      {.phase = "read the checkpoint's headers", .patience = Patience::kForever});
  const std::vector<std::string> parts =
      control.all_gather(writer.bytes(), {.phase = "share the checkpoint's headers"});
  for (size_t rank = 0; rank < num_ranks; ++rank) {
    ByteReader reader(parts[rank]);
    for (size_t i = rank; i < count; i += num_ranks) take(i, reader);
  }
}

}  // namespace switchyard
