#include "runtime/checkpoint/fairseq_header.h"

#include "kernels/base/dtype.h"
#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_names.h"
#include "runtime/checkpoint/header_exchange.h"

namespace switchyard {
namespace {

/// Reads the one element of decoder.version; the only contents a header needs.
double read_version(RandomFile& file, const TorchTensor& tensor) {
  const TensorEntry& entry = tensor.entry;
  const bool real =
      entry.dtype == DType::kF32 || entry.dtype == DType::kF16 || entry.dtype == DType::kBF16;
  if (tensor.support != TensorSupport::kReadable || !real || entry.num_elements() != 1) {
    fail_input(file.path(), ": tensor '", printable(tensor.name),
               "': expected one number of fp32, fp16 or bf16, found ", entry.num_elements(), " of ",
               tensor.storage_type, "; save the model in one of these types");
  }
  char bytes[4] = {};
  file.read_at(entry.offset, size_of(entry.dtype), bytes, "tensor decoder.version");
  float version = 0.0f;
  convert_elements(entry.dtype, bytes, DType::kF32, &version, 1);
  return version;
}

/// The last entry of `optimizer_history` counts the steps; released files may lack it.
int64_t read_num_updates(const Pickle& pickle) {
  const PickleId history = pickle.find(pickle.root(), "optimizer_history");
  if (history == kNoPickleId || pickle[history].kind != PickleKind::kList ||
      pickle[history].items.empty()) {
    return -1;
  }
  const PickleId steps = pickle.find(pickle[history].items.back(), "num_updates");
  return steps != kNoPickleId && pickle[steps].kind == PickleKind::kInt ? pickle[steps].integer
                                                                        : -1;
}

void put_flat(ByteWriter& writer, const FlatParameter& flat) {
  writer.put_string(flat.name);
  writer.put(static_cast<int64_t>(flat.names.size()));
  for (const std::string& name : flat.names) writer.put_string(name);
  for (const std::vector<int64_t>& shape : flat.shapes) writer.put_vector(shape);
  writer.put(flat.padding);
  writer.put(flat.spread);
}

FlatParameter get_flat(ByteReader& reader) {
  FlatParameter flat;
  flat.name = reader.get_string();
  const auto count = static_cast<size_t>(reader.get<int64_t>());
  while (flat.names.size() < count) flat.names.push_back(reader.get_string());
  while (flat.shapes.size() < count) flat.shapes.push_back(reader.get_vector<int64_t>());
  flat.padding = reader.get<int64_t>();
  flat.spread = reader.get<FlatSpread>();
  return flat;
}

}  // namespace

FairseqHeader read_fairseq_header(const FairseqFile& file) {
  RandomFile input(file.path);
  TorchFile torch = read_torch_file(input);
  FairseqHeader header;
  header.file = file;
  header.config = read_fairseq_config(torch.pickle, file.path);
  header.num_updates = read_num_updates(torch.pickle);
  for (const TorchTensor& tensor : torch.tensors) {
    if (without_wrappers(tensor.name) == "decoder.version") {
      header.decoder_version = read_version(input, tensor);
    }
  }
  header.flat = read_flat_parameters(torch.pickle, file.path, torch.tensors);
  header.tensors = std::move(torch.tensors);
  header.bytes = input.size();
  header.identity = input.identity();
  header.bytes_read = input.bytes_read();
  return header;
}

void put_file(ByteWriter& writer, const FairseqFile& file) {
  writer.put_string(file.path);
  writer.put(file.role);
  writer.put(file.rank);
  writer.put(file.shard);
}

FairseqFile get_file(ByteReader& reader) {
  FairseqFile file;
  file.path = reader.get_string();
  file.role = reader.get<FairseqFileRole>();
  file.rank = reader.get<int64_t>();
  file.shard = reader.get<int64_t>();
  return file;
}

void put_header(ByteWriter& writer, const FairseqHeader& header) {
  put_file(writer, header.file);
  writer.put(header.bytes);
  writer.put(header.identity);
  writer.put(header.bytes_read);
  writer.put(static_cast<int64_t>(header.config.settings.size()));
  for (const auto& [name, text] : header.config.settings) {
    writer.put_string(name);
    writer.put_string(text);
  }
  writer.put_string(header.config.missing);
  writer.put(header.num_updates);
  writer.put(header.decoder_version);
  put_tensors(writer, header.tensors);
  writer.put(static_cast<int64_t>(header.flat.size()));
  for (const FlatParameter& flat : header.flat) put_flat(writer, flat);
}

FairseqHeader get_header(ByteReader& reader) {
  FairseqHeader header;
  header.file = get_file(reader);
  header.bytes = reader.get<int64_t>();
  header.identity = reader.get<uint64_t>();
  header.bytes_read = reader.get<int64_t>();
  for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
    std::string name = reader.get_string();
    header.config.settings[std::move(name)] = reader.get_string();
  }
  header.config.missing = reader.get_string();
  header.num_updates = reader.get<int64_t>();
  header.decoder_version = reader.get<double>();
  header.tensors = get_tensors(reader);
  for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
    header.flat.push_back(get_flat(reader));
  }
  return header;
}

}  // namespace switchyard
