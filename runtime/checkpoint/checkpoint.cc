#include "runtime/checkpoint/checkpoint.h"

#include "kernels/base/byte_codec.h"
#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_checkpoint.h"
#include "runtime/checkpoint/fairseq_files.h"
#include "runtime/checkpoint/fairseq_header.h"
#include "runtime/checkpoint/header_exchange.h"
#include "runtime/checkpoint/hf_folder.h"
#include "runtime/checkpoint/native_checkpoint.h"
#include "runtime/families/hf_checkpoint.h"

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
  const auto read = [&](size_t i, ByteWriter& writer) {
    const FairseqHeader header = read_fairseq_header(files[i]);
    bytes_read += header.bytes_read;
    put_header(writer, header);
  };
  std::vector<FairseqHeader> headers(files.size());
  exchange_headers(files.size(), control, read,
                   [&](size_t i, ByteReader& reader) { headers[i] = get_header(reader); });
  return headers;
}

Checkpoint open_fairseq(const std::string& directory, ControlChannel& control) {
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

Checkpoint open_hf(const std::string& directory, ControlChannel& control) {
  const HfFolder folder = read_hf_folder(directory, control);
  Checkpoint checkpoint;
  control.agree([&] { checkpoint = make_hf_checkpoint(folder); },
                {.phase = "check the checkpoint's headers"});
  return checkpoint;
}

}  // namespace

Checkpoint open_checkpoint(const std::string& directory, ControlChannel& control) {
  // Rank 0 decides: another host may see another folder, which is found out when files are read.
  const char* kind = "fairseq";
  if (control.rank() == 0) {
    // A converted checkpoint of a Hugging Face model has a config.json too, for its tokenizer.
    kind = is_native_folder(directory) ? "native" : is_hf_folder(directory) ? "hf" : kind;
  }
  const std::string agreed = control.broadcast(kind, 0, {.phase = "find the checkpoint's kind"});
  if (agreed == "native") return open_native_checkpoint(directory, control);
  return agreed == "hf" ? open_hf(directory, control) : open_fairseq(directory, control);
}

}  // namespace switchyard
