#include <utility>

#include "kernels/base/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace switchyard {
namespace {

[[noreturn]] void fail_missing(const char* op) { fail_resource(op, " is not there on GPUs yet"); }

}  // namespace

void CudaBackend::run_matmul(Stream&, const cpu::HostMatmul&) { fail_missing("matmul"); }

void CudaBackend::run_matmuls(Stream&, std::vector<cpu::HostMatmul>) { fail_missing("matmuls"); }

void CudaBackend::run_grouped_ffn(Stream&, std::shared_ptr<const cpu::GroupedFfnCall>) {
  fail_missing("grouped_ffn");
}

}  // namespace switchyard
