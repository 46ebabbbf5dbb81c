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
          put_file(writer, file);
        }
      },
      {.phase = "find the checkpoint's files"});
  const std::string bytes =
      control.broadcast(writer.bytes(), 0, {.phase = "share the checkpoint's file list"});
  std::vector<FairseqFile> files;
  for (ByteReader reader(bytes); !reader.at_end();) files.push_back(get_file(reader));
  return files;
}

/// The headers of all files, on every rank; each is read by one. Adds what this rank read.
std::vector<FairseqHeader> share_headers(const std::vector<FairseqFile>& files,
                                         ControlChannel& control, int64_t& bytes_read) {
  const auto num_ranks = static_cast<size_t>(control.size());
  ByteWriter writer;
  control.agree(
      [&] {
        for (size_t i = static_cast<size_t>(control.rank()); i < files.size(); i += num_ranks) {
          const FairseqHeader header = read_fairseq_header(files[i]);
          bytes_read += header.bytes_read;
          put_header(writer, header);
        }
      },
      {.phase = "read the checkpoint's headers", .patience = Patience::kForever});
  const std::vector<std::string> parts =
      control.all_gather(writer.bytes(), {.phase = "share the checkpoint's headers"});
  std::vector<FairseqHeader> headers(files.size());
  for (size_t rank = 0; rank < num_ranks; ++rank) {
    ByteReader reader(parts[rank]);
    for (size_t i = rank; i < files.size(); i += num_ranks) headers[i] = get_header(reader);
  }
  return headers;
}

}  // namespace

Checkpoint open_checkpoint(const std::string& directory, ControlChannel& control) {
  const std::vector<FairseqFile> files = agree_on_files(directory, control);
  int64_t bytes_read = 0;
  const std::vector<FairseqHeader> headers = share_headers(files, control, bytes_read);
  Checkpoint checkpoint;
  FairseqParts parts;
  control.agree(
      [&] {
        parts = collect_fairseq_parts(headers);
        checkpoint = merge_fairseq_headers(directory, headers, parts);
      },
      {.phase = "check the checkpoint's headers"});
  control.agree(
      [&] {
        bytes_read +=
            compare_copies(checkpoint.index, parts.unproven, static_cast<size_t>(control.rank()),
                           static_cast<size_t>(control.size()));
      },
      {.phase = "compare copies of the checkpoint's shared part", .patience = Patience::kForever});
  checkpoint.header_bytes_read = bytes_read;
  return checkpoint;
}

}  // namespace switchyard
