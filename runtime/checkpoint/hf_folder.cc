#include "runtime/checkpoint/hf_folder.h"

#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/header_exchange.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/safetensors_file.h"

namespace switchyard {
namespace {

/// What one weight file says.
struct HfHeader {
  CheckpointFile file;
  std::vector<TorchTensor> tensors;
};

/// Rank 0's look at the folder, on every rank; `bytes_read` on that alone.
HfFiles agree_on_files(const std::string& directory, ControlChannel& control) {
  ByteWriter writer;
  int64_t bytes_read = 0;
  control.agree(
      [&] {
        if (control.rank() != 0) return;
        const HfFiles found = find_hf_files(directory);
        bytes_read = found.bytes_read;
        put_hf_files(writer, found);
      },
      {.phase = "find the checkpoint's files"});
  const std::string bytes =
      control.broadcast(writer.bytes(), 0, {.phase = "share the checkpoint's file list"});
  ByteReader reader(bytes);
  HfFiles files = get_hf_files(reader);
  files.bytes_read = bytes_read;
  return files;
}

HfHeader read_header(const std::string& path, HfWeightFormat format, int64_t& bytes_read) {
  RandomFile file(path);
  HfHeader header;
  header.tensors = format == HfWeightFormat::kSafetensors
                       ? read_safetensors_header(file)
                       : read_torch_file(file, TorchLayout::kStateDict).tensors;
  header.file = {path, file.size(), file.identity()};
  bytes_read += file.bytes_read();
  return header;
}

/// The headers of all files, on every rank. Adds what this rank read.
std::vector<HfHeader> share_headers(const HfFiles& files, ControlChannel& control,
                                    int64_t& bytes_read) {
  const auto read = [&](size_t i, ByteWriter& writer) {
    const HfHeader header = read_header(files.paths[i], files.format, bytes_read);
    writer.put(header.file.bytes);
    writer.put(header.file.identity);
    put_tensors(writer, header.tensors);
  };
  std::vector<HfHeader> headers(files.paths.size());
  const auto take = [&](size_t i, ByteReader& reader) {
    headers[i].file.path = files.paths[i];
    headers[i].file.bytes = reader.get<int64_t>();
    headers[i].file.identity = reader.get<uint64_t>();
    headers[i].tensors = get_tensors(reader);
  };
  exchange_headers(files.paths.size(), control, read, take);
  return headers;
}

/// Adds the tensors of file number `file`, which is the last of folder.files.
void add_tensors(std::vector<TorchTensor> tensors, HfFolder& folder) {
  const auto number = static_cast<int32_t>(folder.files.size() - 1);
  for (TorchTensor& tensor : tensors) {
    tensor.entry.file = number;
    std::string name = tensor.name;
    const auto [known, added] = folder.tensors.emplace(std::move(name), std::move(tensor));
    if (added) continue;
    const auto other = static_cast<size_t>(known->second.entry.file);
    fail_input(folder.files.back().path, ": tensor '", printable(known->first),
               "' stands here and in ", folder.files[other].path,
               "; every tensor belongs in one file");
  }
}

/// Checks that every tensor is where the index says.
void check_places(const HfFiles& files, const HfFolder& folder) {
  for (const auto& [name, place] : files.places) {
    const std::string& expected = files.paths[static_cast<size_t>(place)];
    const auto found = folder.tensors.find(name);
    if (found == folder.tensors.end()) {
      fail_input(files.index_path, ": says that tensor '", printable(name), "' is in ", expected,
                 ", but no file has it; fetch the files and the index again");
    }
    const int32_t file = found->second.entry.file;
    if (file != place) {
      fail_input(files.index_path, ": says that tensor '", printable(name), "' is in ", expected,
                 ", but it is in ", folder.files[static_cast<size_t>(file)].path,
                 "; fetch the files and the index again");
    }
  }
}

}  // namespace

HfFolder read_hf_folder(const std::string& directory, ControlChannel& control) {
  HfFiles files = agree_on_files(directory, control);
  HfFolder folder;
  folder.header_bytes_read = files.bytes_read;
  std::vector<HfHeader> headers = share_headers(files, control, folder.header_bytes_read);
  folder.directory = directory;
  folder.config_path = files.config_path;
  folder.config_text = std::move(files.config_text);
  folder.generation_text = std::move(files.generation_text);
  folder.warnings = std::move(files.warnings);
  control.agree(
      [&] {
        for (HfHeader& header : headers) {
          folder.files.push_back(header.file);
          add_tensors(std::move(header.tensors), folder);
        }
        check_places(files, folder);
      },
      {.phase = "check the checkpoint's headers"});
  return folder;
}

}  // namespace switchyard
