// Any bytes as a file of requests.
#include "kernels/base/error.h"
#include "runtime/requests/line_reader.h"
#include "runtime/requests/request.h"
#include "tests/fuzz/memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace switchyard;
  const MemoryFile file(data, size);
  try {
    LineReader lines(file.path());
    while (const auto line = lines.next()) {
      parse_request(*line, lines.line_number(), lines.name());
    }
  } catch (const Error&) {
    // What every wrong line must end in.
  }
  return 0;
}
