// Any bytes as a checkpoint file: its container, object tree, tensors and settings.
#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_header.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  const MemoryFile file(data, size);
  try {
    read_fairseq_header({file.path(), FairseqFileRole::kWhole});
  } catch (const Error&) {
    // What every wrong file must end in.
  }
  return 0;
}
