// Any bytes as a file of requests, and of texts.
#include "kernels/base/error.h"
#include "runtime/requests/line_reader.h"
#include "runtime/requests/request.h"
#include "tests/fuzz/memory_file.h"

namespace {

using namespace switchyard;

void parse_one(std::string_view line, int64_t number, const std::string& name) {
  parse_request(line, number, name);
}

void parse_text(std::string_view line, int64_t number, const std::string& name) {
  parse_text_record(line, number, name, TextId::kRead);
}

void parse_one_prompt(std::string_view line, int64_t number, const std::string& name) {
  parse_prompt(line, number, name);
}

void parse_id(std::string_view line, int64_t number, const std::string& name) {
  parse_request_id(line, number, name);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile file(data, size);
  try {
    LineReader lines(file.path());
    while (const auto line = lines.next()) {
      for (const auto parse : {parse_one, parse_text, parse_one_prompt, parse_id}) {
        try {
          parse(*line, lines.line_number(), lines.name());
        } catch (const Error&) {
          // What every wrong line must end in.
        }
      }
    }
  } catch (const Error&) {
    // A line without an end.
  }
  return 0;
}
