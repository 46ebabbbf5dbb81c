// A short text that identifies a checkpoint's contents.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/checkpoint/checkpoint.h"
#include "runtime/checkpoint/fairseq_settings.h"
#include "runtime/checkpoint/torch_file.h"

namespace switchyard {

/// 128 bits as a UUID's text: a hash over the settings and every tensor's name, type, shape,
/// strides, place in its storage and the storage's checksum, or the identity of its file (an index
/// into `files`) where that has no checksums. File names do not matter.
std::string make_fingerprint(const FairseqSettings& settings,
                             const std::map<std::string, TorchTensor>& tensors,
                             const std::vector<CheckpointFile>& files);

}  // namespace switchyard
