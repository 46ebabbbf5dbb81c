#include "runtime/checkpoint/native_checkpoint.h"

#include <filesystem>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/fingerprint.h"
#include "runtime/checkpoint/header_exchange.h"
#include "runtime/checkpoint/native_header.h"
#include "runtime/checkpoint/safetensors_file.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// A thousand times what the largest models of today need.
constexpr int64_t kMaxHeaderBytes = int64_t{1} << 30;

std::string path_in(const std::string& directory, const std::string& name) {
  return (fs::path(directory) / name).string();
}

/// switchyard.json on every rank: rank 0 reads it.
std::string share_text(const std::string& path, ControlChannel& control) {
  constexpr CollectiveLabel kLabel{.phase = "share the checkpoint's description"};
  std::string text;
  control.agree(
      [&] {
        if (control.rank() != 0) return;
        RandomFile file(path);
        if (file.size() > kMaxHeaderBytes) {
          fail_input(path, ": has ", file.size(), " bytes; at most ", kMaxHeaderBytes, " are read");
        }
        text.resize(static_cast<size_t>(file.size()));
        file.read_at(0, file.size(), text.data(), "its text");
      },
      kLabel);
  return control.broadcast(text, 0, kLabel);
}

/// What the files themselves say.
struct NativeFiles {
  std::vector<CheckpointFile> files;
  std::vector<TorchTensor> dense;  // tensors of file number 0
  int64_t bytes_read = 0;          // by this rank
};

NativeFiles share_files(const std::string& directory, const NativeHeader& header,
                        ControlChannel& control) {
  NativeFiles result;
  const auto read = [&](size_t i, ByteWriter& writer) {
    const NativeFile& expected = header.files[i];
    RandomFile file(path_in(directory, expected.name));
    if (file.size() != expected.bytes) {
      fail_input(file.path(), ": has ", file.size(), " bytes; ", kNativeHeaderFile, " says ",
                 expected.bytes, ": it is truncated, or of another checkpoint; convert the ",
                 "original again");
    }
    writer.put(file.identity());
    if (i == 0) put_tensors(writer, read_safetensors_header(file));
    result.bytes_read += file.bytes_read();
  };
  result.files.resize(header.files.size());
  const auto take = [&](size_t i, ByteReader& reader) {
    result.files[i] = {path_in(directory, header.files[i].name), header.files[i].bytes,
                       reader.get<uint64_t>()};
    if (i == 0) result.dense = get_tensors(reader);
  };
  exchange_headers(header.files.size(), control, read, take);
  return result;
}

/// Puts the index together.
class IndexBuilder {
 public:
  IndexBuilder(const NativeHeader& header, const NativeFiles& files, const std::string& path)
      : header_(header), files_(files), path_(path) {}

  CheckpointIndex build() {
    add_packed();
    for (const TorchTensor& tensor : files_.dense) add(tensor.name, tensor.entry);
    CheckpointIndex index;
    index.files = files_.files;
    visit_expected_tensors(header_.config, [&](const ExpectedTensor& expected) {
      index.tensors[expected.name] = take(expected);
    });
    if (!entries_.empty()) {
      fail_input(path_, ": the checkpoint has a tensor '", printable(entries_.begin()->first),
                 "', which is none of the model's; convert the original again");
    }
    return index;
  }

 private:
  void add(const std::string& name, TensorEntry entry) {
    if (entries_.emplace(name, std::move(entry)).second) return;
    fail_input(path_, ": the checkpoint has tensor '", printable(name),
               "' twice; convert the original again");
  }

  void add_packed();
  TensorEntry take(const ExpectedTensor& expected);

  const NativeHeader& header_;
  const NativeFiles& files_;
  const std::string& path_;
  std::map<std::string, TensorEntry> entries_;  // that no expected tensor has taken yet
};

/// An entry that tells type and place; its shape is the model's to say.
TensorEntry packed_entry(const PackedExtent& extent, DType dtype,
                         const GroupQuantization& codes = {}) {
  TensorEntry entry;
  entry.file = extent.file;
  entry.offset = extent.offset;
  entry.dtype = dtype;
  entry.extents = {{extent.file, extent.offset, extent.bytes}};
  entry.encoding = TensorEncoding::kPacked;
  entry.packed_codes = codes;
  return entry;
}

void IndexBuilder::add_packed() {
  const ModelConfig& config = header_.config;
  const std::vector<int> layers = config.moe_layers();
  for (size_t i = 0; i < layers.size(); ++i) {
    for (size_t expert = 0; expert < header_.experts[i].size(); ++expert) {
      const NativeExpert& packed = header_.experts[i][expert];
      const auto id = static_cast<int64_t>(expert);
      const std::string up = tensor_name(config.names.expert_up, layers[i], id);
      const std::string down = tensor_name(config.names.expert_down, layers[i], id);
      add(up + ".weight", packed_entry(packed.extent, packed.up, packed.up_codes));
      add(down + ".weight", packed_entry(packed.extent, packed.down, packed.down_codes));
      if (config.expert_bias == HasBias::kNo) continue;
      add(up + ".bias", packed_entry(packed.extent, DType::kF32));
      add(down + ".bias", packed_entry(packed.extent, DType::kF32));
    }
  }
  for (const auto& [name, matrix] : header_.matrices) {
    add(name, packed_entry(matrix.extent, matrix.dtype, matrix.codes));
  }
}

TensorEntry IndexBuilder::take(const ExpectedTensor& expected) {
  auto node = entries_.extract(expected.name);
  if (node.empty()) {
    fail_input(files_.files[0].path, ": has no tensor '", printable(expected.name),
               "', which the model needs; convert the original again");
  }
  TensorEntry entry = std::move(node.mapped());
  if (entry.encoding == TensorEncoding::kPacked) {
    entry.shape = expected.shape;
    entry.strides = row_major_strides(entry.shape);
    return entry;
  }
  if (entry.shape != expected.shape) {
    fail_input(files_.files[0].path, ": tensor '", printable(expected.name), "' is ",
               shape_text(entry.shape), "; the model needs ", shape_text(expected.shape));
  }
  return entry;
}

NativeLayout layout_of(const NativeHeader& header) {
  NativeLayout layout;
  layout.packing = header.packing;
  layout.dense_crc32 = header.dense_crc32;
  for (const std::vector<NativeExpert>& layer : header.experts) {
    std::vector<PackedExtent>& extents = layout.experts.emplace_back();
    for (const NativeExpert& expert : layer) extents.push_back(expert.extent);
  }
  for (const auto& [name, matrix] : header.matrices) layout.matrices[name] = matrix.extent;
  return layout;
}

}  // namespace

bool is_native_folder(const std::string& directory) {
  std::error_code error;
  return fs::exists(fs::path(directory) / kNativeHeaderFile, error);
}

Checkpoint open_native_checkpoint(const std::string& directory, ControlChannel& control) {
  const std::string path = path_in(directory, kNativeHeaderFile);
  const std::string text = share_text(path, control);
  NativeHeader header;
  control.agree([&] { header = parse_native_header(text, path); },
                {.phase = "check the checkpoint's description"});
  const NativeFiles files = share_files(directory, header, control);
  Checkpoint checkpoint;
  checkpoint.directory = directory;
  control.agree([&] { checkpoint.index = IndexBuilder(header, files, path).build(); },
                {.phase = "check the checkpoint's headers"});
  checkpoint.native = layout_of(header);
  checkpoint.config = std::move(header.config);
  checkpoint.fingerprint = make_fingerprint({{kNativeHeaderFile, text}}, {}, {});
  checkpoint.header_bytes_read =
      files.bytes_read + (control.rank() == 0 ? static_cast<int64_t>(text.size()) : 0);
  return checkpoint;
}

}  // namespace switchyard
