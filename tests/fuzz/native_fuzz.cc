// Any bytes as the description of a converted checkpoint.
#include <cstdlib>

#include "kernels/base/error.h"
#include "runtime/checkpoint/native_header.h"

namespace {

/// Ends the program for an extent that lies outside its file.
void check(const switchyard::NativeHeader& header, const switchyard::PackedExtent& extent) {
  const auto& file = header.files.at(static_cast<size_t>(extent.file));
  if (extent.offset < 0 || extent.bytes <= 0 || extent.offset > file.bytes - extent.bytes) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  NativeHeader header;
  try {
    header = parse_native_header(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
  } catch (const Error&) {
    return 0;  // what every wrong file must end in
  }
  for (const auto& layer : header.experts) {
    for (const NativeExpert& expert : layer) check(header, expert.extent);
  }
  for (const auto& [name, matrix] : header.matrices) check(header, matrix.extent);
  // What was read can be written, and read again.
  if (!(parse_native_header(native_header_text(header), "fuzz").config == header.config)) {
    std::abort();
  }
  return 0;
}
