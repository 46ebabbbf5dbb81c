// Writes a file in the safetensors format.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/base/dtype.h"
#include "kernels/base/thread_pool.h"
#include "runtime/checkpoint/piece_writer.h"
#include "runtime/checkpoint/staged_file.h"

namespace switchyard {

/// One file of named tensors, before it is written.
struct SafetensorsPlan {
  struct Tensor {
    std::string name;
    std::string type;  // as find_safetensors_type, of whole bytes
    std::vector<int64_t> shape;
  };
  std::vector<Tensor> tensors;                  // in the order of the file
  std::map<std::string, std::string> metadata;  // may be empty
};

/// What the format calls a type: "F32", "F16", "BF16", "I64", "I32" or "U8".
std::string safetensors_type_name(DType dtype);

/// What stands before the data: the header and its length, which together take a multiple of 8
/// bytes. Names and texts are valid UTF-8.
std::string safetensors_header(const SafetensorsPlan& plan);

/// Where the elements of the tensors stand in the file, in the order of the plan.
std::vector<StoragePlan> safetensors_storages(const SafetensorsPlan& plan);

/// Bytes of the file.
int64_t safetensors_bytes(const SafetensorsPlan& plan);

/// Writes an empty file, element by element of tensor number `storage` as the source gives them,
/// and closes it. Throws Error(kResource) naming the file.
void write_safetensors_file(const SafetensorsPlan& plan, const StorageSource& source,
                            ThreadPool& pool, const ByteCounter& counter, StagedFile& file);

}  // namespace switchyard
