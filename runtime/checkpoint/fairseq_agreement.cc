#include "runtime/checkpoint/fairseq_agreement.h"

#include <map>
#include <string>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

constexpr const char* kMixed = "; the files are of different checkpoints";

void check_settings(const FairseqHeader& one, const FairseqHeader& other) {
  const auto text_in = [](const FairseqHeader& header, const std::string& name) {
    const auto found = header.config.settings.find(name);
    return found == header.config.settings.end() ? std::string("absent") : found->second;
  };
  for (const FairseqHeader* header : {&one, &other}) {
    for (const auto& [name, text] : header->config.settings) {
      const std::string first = text_in(one, name);
      const std::string second = text_in(other, name);
      if (first == second) continue;
      fail_input(other.file.path, ": the setting cfg.", name, " is ", second, ", but in ",
                 one.file.path, " it is ", first, kMixed);
    }
  }
}

void check_steps(const std::vector<FairseqHeader>& headers) {
  const FairseqHeader* first = nullptr;
  for (const FairseqHeader& header : headers) {
    if (header.num_updates < 0) continue;
    if (first == nullptr) first = &header;
    if (header.num_updates != first->num_updates) {
      fail_input(header.file.path, ": was saved after ", header.num_updates,
                 " updates of the training, but ", first->file.path, " after ", first->num_updates,
                 kMixed);
    }
  }
}

/// Every rank has the tensors of some experts, all of the types that rank 0 has.
void check_types(const std::vector<FairseqHeader>& headers, const std::vector<FairseqPart>& ranks) {
  if (ranks.empty()) return;
  std::map<std::string, const std::string*> types;
  for (const NamedTensor& tensor : ranks[0].tensors) {
    types[tensor.name] = &tensor.stored.storage_type;
  }
  for (const FairseqPart& part : ranks) {
    for (const NamedTensor& tensor : part.tensors) {
      const auto expected = types.find(tensor.name);
      if (expected == types.end() || *expected->second == tensor.stored.storage_type) continue;
      fail_input(headers[part.file].file.path, ": tensor '", printable(tensor.stored.name),
                 "' is of type ", tensor.stored.storage_type, ", but in ",
                 headers[ranks[0].file].file.path, " of ", *expected->second, kMixed);
    }
  }
}

}  // namespace

size_t agree_on_config(const std::vector<FairseqHeader>& headers, const FairseqParts& parts) {
  const size_t start = parts.ranks.empty() ? parts.main.file : parts.ranks[0].file;
  size_t chosen = headers.size();
  for (size_t i = 0; i < headers.size(); ++i) {
    const size_t file = (start + i) % headers.size();
    if (!headers[file].config.missing.empty()) continue;
    if (chosen == headers.size()) chosen = file;
    check_settings(headers[chosen], headers[file]);
  }
  if (chosen == headers.size()) {
    fail_input(headers[0].file.path, ": ", headers[0].config.missing,
               "; the model's configuration is needed, as a dictionary 'cfg' or as 'args'");
  }
  check_steps(headers);
  check_types(headers, parts.ranks);
  return chosen;
}

}  // namespace switchyard
