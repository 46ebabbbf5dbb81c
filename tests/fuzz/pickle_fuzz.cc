// Any bytes as a pickle, and what reads a configuration out of it.
#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_settings.h"
#include "runtime/checkpoint/pickle.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  try {
    const Pickle pickle = Pickle::parse({data, data + size}, "fuzz");
    read_fairseq_config(pickle, "fuzz");
  } catch (const Error&) {
    // What every wrong pickle must end in.
  }
  return 0;
}
