// Writes what torch.save would: an object tree and the storages of its tensors in a zip archive.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/thread_pool.h"
#include "runtime/checkpoint/pickle_writer.h"
#include "runtime/checkpoint/piece_writer.h"
#include "runtime/checkpoint/staged_file.h"
#include "runtime/checkpoint/zip_writer.h"

namespace switchyard {

/// The memory of one or more tensors; its key in the archive is its index in decimal.
struct TorchStorage {
  DType dtype = DType::kF32;  // fp32, fp16 or bf16
  int64_t num_elements = 0;
};

struct TorchArchive {
  std::string root;      // folder of all entries; torch names it after the file, without .pt
  std::string data_pkl;  // the object tree, whose tensors are written by put_tensor()
  std::vector<TorchStorage> storages;
};

/// Writes a tensor that is all of storage number `storage`, row by row.
void put_tensor(const TorchStorage& description, size_t storage, const std::vector<int64_t>& shape,
                PickleWriter& pickle);

/// Where the archive's entries stand: data.pkl, byteorder, the storages in their order, version.
ZipLayout torch_layout(const TorchArchive& archive, const Zip64Thresholds& thresholds = {});

/// Writes the archive into an empty file, elements as the source gives them, a few MiB a thread at
/// a time, and closes it. Throws Error(kResource) naming the file.
void write_torch_file(const TorchArchive& archive, const ZipLayout& layout,
                      const StorageSource& source, ThreadPool& pool, const ByteCounter& counter,
                      StagedFile& file);

}  // namespace switchyard
