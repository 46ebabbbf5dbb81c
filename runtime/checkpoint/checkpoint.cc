#include "runtime/checkpoint/checkpoint.h"

#include "kernels/base/byte_codec.h"
#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_checkpoint.h"
#include "runtime/checkpoint/fairseq_files.h"
#include "runtime/checkpoint/fairseq_header.h"

namespace switchyard {
namespace {

/// Rank 0's list of the checkpoint's files, on every rank.
std::vector<FairseqFile> agree_on_files(const std::string& directory, ControlChannel& control) {
  ByteWriter writer;
  control.agree(
      [&] {
        if (control.rank() != 0) return;
        for (const FairseqFile& file : find_fairseq_files(directory)) {
          writer.put_string(file.path);
          writer.put(file.role);
        }
      },
      {.phase = "find the checkpoint's files"});
  const std::string bytes =
      control.broadcast(writer.bytes(), 0, {.phase = "share the checkpoint's file list"});
  std::vector<FairseqFile> files;
  for (ByteReader reader(bytes); !reader.at_end();) {
    std::string path = reader.get_string();
    files.push_back({std::move(path), reader.get<FairseqFileRole>()});
  }
  return files;
}

}  // namespace

Checkpoint open_checkpoint(const std::string& directory, ControlChannel& control) {
  const std::vector<FairseqFile> files = agree_on_files(directory, control);
  const auto num_ranks = static_cast<size_t>(control.size());
  int64_t bytes_read = 0;
  ByteWriter writer;
  control.agree(
      [&] {
        for (size_t i = static_cast<size_t>(control.rank()); i < files.size(); i += num_ranks) {
          const FairseqHeader header = read_fairseq_header(files[i]);
          bytes_read += header.bytes_read;
          put_header(writer, header);
        }
      },
      {.phase = "read the checkpoint's headers"});
  const std::vector<std::string> parts =
      control.all_gather(writer.bytes(), {.phase = "share the checkpoint's headers"});
  std::vector<FairseqHeader> headers(files.size());
  for (size_t rank = 0; rank < num_ranks; ++rank) {
    ByteReader reader(parts[rank]);
    for (size_t i = rank; i < files.size(); i += num_ranks) headers[i] = get_header(reader);
  }
  Checkpoint checkpoint;
  control.agree([&] { checkpoint = merge_fairseq_headers(directory, headers); },
                {.phase = "check the checkpoint's headers"});
  checkpoint.header_bytes_read = bytes_read;
  return checkpoint;
}

}  // namespace switchyard
