#include "runtime/checkpoint/fairseq_header.h"

#include "kernels/base/dtype.h"
#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// Reads the one element of decoder.version; the only contents a header needs.
double read_version(RandomFile& file, const TorchTensor& tensor) {
  const TensorEntry& entry = tensor.entry;
  const bool real =
      entry.dtype == DType::kF32 || entry.dtype == DType::kF16 || entry.dtype == DType::kBF16;
  if (tensor.support != TensorSupport::kReadable || !real || entry.num_elements() != 1) {
    fail_input(file.path(), ": tensor '", printable(tensor.name),
               "': expected one floating-point number, found ", entry.num_elements(),
               " elements of ", tensor.storage_type);
  }
  char bytes[4] = {};
  file.read_at(entry.offset, size_of(entry.dtype), bytes, "tensor decoder.version");
  float version = 0.0f;
  convert_elements(entry.dtype, bytes, DType::kF32, &version, 1);
  return version;
}

void put_tensor(ByteWriter& writer, const TorchTensor& tensor) {
  writer.put_string(tensor.name);
  writer.put(tensor.support);
  writer.put_string(tensor.storage_type);
  writer.put(tensor.entry.offset);
  writer.put(tensor.entry.dtype);
  writer.put_vector(tensor.entry.shape);
  writer.put_vector(tensor.entry.strides);
  writer.put(tensor.storage_first);
  writer.put(tensor.storage_crc32);
}

TorchTensor get_tensor(ByteReader& reader) {
  TorchTensor tensor;
  tensor.name = reader.get_string();
  tensor.support = reader.get<TensorSupport>();
  tensor.storage_type = reader.get_string();
  tensor.entry.offset = reader.get<int64_t>();
  tensor.entry.dtype = reader.get<DType>();
  tensor.entry.shape = reader.get_vector<int64_t>();
  tensor.entry.strides = reader.get_vector<int64_t>();
  tensor.storage_first = reader.get<int64_t>();
  tensor.storage_crc32 = reader.get<uint32_t>();
  return tensor;
}

}  // namespace

FairseqHeader read_fairseq_header(const FairseqFile& file) {
  RandomFile input(file.path);
  TorchFile torch = read_torch_file(input);
  FairseqHeader header;
  header.file = file;
  header.config = read_fairseq_config(torch.pickle, file.path);
  for (const TorchTensor& tensor : torch.tensors) {
    if (tensor.name == "decoder.version") header.decoder_version = read_version(input, tensor);
  }
  header.tensors = std::move(torch.tensors);
  header.bytes = input.size();
  header.identity = input.identity();
  header.bytes_read = input.bytes_read();
  return header;
}

void put_header(ByteWriter& writer, const FairseqHeader& header) {
  writer.put_string(header.file.path);
  writer.put(header.file.role);
  writer.put(header.bytes);
  writer.put(header.identity);
  writer.put(header.bytes_read);
  writer.put(static_cast<int64_t>(header.config.settings.size()));
  for (const auto& [name, text] : header.config.settings) {
    writer.put_string(name);
    writer.put_string(text);
  }
  writer.put_string(header.config.missing);
  writer.put(header.decoder_version);
  writer.put(static_cast<int64_t>(header.tensors.size()));
  for (const TorchTensor& tensor : header.tensors) put_tensor(writer, tensor);
}

FairseqHeader get_header(ByteReader& reader) {
  FairseqHeader header;
  header.file.path = reader.get_string();
  header.file.role = reader.get<FairseqFileRole>();
  header.bytes = reader.get<int64_t>();
  header.identity = reader.get<uint64_t>();
  header.bytes_read = reader.get<int64_t>();
  for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
    std::string name = reader.get_string();
    header.config.settings[std::move(name)] = reader.get_string();
  }
  header.config.missing = reader.get_string();
  header.decoder_version = reader.get<double>();
  for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
    header.tensors.push_back(get_tensor(reader));
  }
  return header;
}

}  // namespace switchyard
