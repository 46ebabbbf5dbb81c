// Any bytes as a safetensors file: its length, its header's JSON and its tensors' ranges.
#include <cstdlib>

#include "kernels/base/error.h"
#include "runtime/checkpoint/safetensors_file.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  const MemoryFile memory(data, size);
  try {
    RandomFile file(memory.path());
    for (const TorchTensor& tensor : read_safetensors_header(file)) {
      if (tensor.support != TensorSupport::kReadable) continue;
      const int64_t end = tensor.entry.offset + tensor.entry.bytes();
      if (tensor.entry.offset < 8 || end > file.size()) std::abort();
    }
  } catch (const Error&) {
    // What every wrong file must end in.
  }
  return 0;
}
