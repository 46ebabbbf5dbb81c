#include <utility>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace switchyard {
namespace {

[[noreturn]] void fail_missing(const char* op) { fail_resource(op, " is not there on GPUs yet"); }

}  // namespace

void CudaBackend::run_store_key_values(Stream&, const cpu::StoreKeyValuesParams&,
                                       cpu::PagedSequences) {
  fail_missing("store_key_values");
}

void CudaBackend::run_attention(Stream&, const cpu::AttentionParams&, cpu::PagedSequences) {
  fail_missing("attention");
}

}  // namespace switchyard
