#include "kernels/cuda/cublas_library.h"

#include <dlfcn.h>

#include <optional>
#include <string>

#include "kernels/base/error.h"

namespace switchyard::cuda {
namespace {

void* open_library() {
  const std::string name = concat("libcublas.so.", CUBLAS_VER_MAJOR);
  for (const std::string& path : {name, "/usr/local/cuda/lib64/" + name}) {
    if (void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) return library;
  }
  return nullptr;
}

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

std::optional<CublasLibrary> load() {
  void* const library = open_library();
  CublasLibrary found;
  const bool is_whole = library != nullptr && find(library, "cublasCreate_v2", found.create) &&
                        find(library, "cublasDestroy_v2", found.destroy) &&
                        find(library, "cublasSetStream_v2", found.set_stream) &&
                        find(library, "cublasGemmEx", found.multiply);
  return is_whole ? std::optional(found) : std::nullopt;
}

}  // namespace

const CublasLibrary* cublas_library() {
  static const std::optional<CublasLibrary> library = load();
  return library ? &*library : nullptr;
}

}  // namespace switchyard::cuda
