// Any bytes as a checkpoint file: its container, object tree, tensors and settings, and the model
// that they make.
#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_checkpoint.h"
#include "runtime/checkpoint/fairseq_header.h"
#include "runtime/checkpoint/fairseq_parts.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  const MemoryFile file(data, size);
  try {
    const std::vector<FairseqHeader> headers = {read_fairseq_header({.path = file.path()})};
    merge_fairseq_headers("fuzz", headers, collect_fairseq_parts(headers));
  } catch (const Error&) {
    // What every wrong file must end in.
  }
  return 0;
}
