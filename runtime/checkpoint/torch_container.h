// The two containers of torch.save, opened to one form.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>

#include "runtime/checkpoint/pickle.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {

/// Where a storage's elements lie in its file.
struct StorageRange {
  int64_t offset = 0;
  int64_t bytes = 0;
  uint32_t crc32 = 0;  // of the bytes; 0 where the writer computed none
};

/// The object tree of a torch file, and its storages by key. Every range lies within the file; no
/// two overlap.
struct TorchContainer {
  Pickle pickle;
  std::unordered_map<std::string, StorageRange> storages;
  std::string storage_prefix;  // what stands before a key in messages
};

/// Opens a file in either container, told by its first bytes, reading no storage. Throws
/// Error(kInput) naming the file for anything else and for files that are damaged or cut short.
TorchContainer read_torch_container(RandomFile& file);

/// The container since torch 1.6: a zip archive of data.pkl and data/KEY.
TorchContainer read_zip_container(RandomFile& file);

/// The container before torch 1.6: pickles of a magic number, a protocol number, the writer's
/// system, the object and the storages' keys; then, key by key, a count of elements (64 bits) and
/// the elements. It has no checksums. Its pickles have no length in front: some bytes behind the
/// last of them, at most as many as the pickles have, are read with them.
TorchContainer read_legacy_container(RandomFile& file);

}  // namespace switchyard
