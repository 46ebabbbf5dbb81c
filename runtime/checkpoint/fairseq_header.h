// What one file of a fairseq checkpoint says about itself, without its tensors' contents.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/byte_codec.h"
#include "runtime/checkpoint/fairseq_files.h"
#include "runtime/checkpoint/fairseq_flat.h"
#include "runtime/checkpoint/fairseq_settings.h"
#include "runtime/checkpoint/torch_file.h"

namespace switchyard {

struct FairseqHeader {
  FairseqFile file;
  int64_t bytes = 0;       // of the file
  uint64_t identity = 0;   // RandomFile::identity()
  int64_t bytes_read = 0;  // to read this
  FairseqConfigPart config;
  int64_t num_updates = -1;      // steps of training behind the file; -1 where it does not say
  double decoder_version = 1.0;  // 1 where the file holds no decoder.version, as the reference
  std::vector<TorchTensor> tensors;
  std::vector<FlatParameter> flat;  // how the flat ones among the tensors are made up
};

/// Throws Error(kInput) naming the file for anything that is not a readable checkpoint.
FairseqHeader read_fairseq_header(const FairseqFile& file);

void put_file(ByteWriter& writer, const FairseqFile& file);
FairseqFile get_file(ByteReader& reader);
void put_header(ByteWriter& writer, const FairseqHeader& header);
FairseqHeader get_header(ByteReader& reader);

}  // namespace switchyard
