// The report on a single file.
#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_header.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/safetensors_file.h"
#include "runtime/inspect_parts.h"

namespace switchyard {
namespace {

ReportSection empty_tensor_section() {
  return {
      "tensors", "tensors", ReportSection::Form::kRows, {"tensor", "type", "shape", "bytes"}, {}};
}

ReportSection summary(const std::string& path, const std::string& container, int64_t bytes,
                      int64_t bytes_read, const ReportSection& tensors) {
  ReportSection section = make_facts("file", "");
  section.add_fact("path", path);
  section.add_fact("container", container);
  section.add_fact("bytes", byte_value(bytes));
  section.add_fact("header_bytes_read", byte_value(bytes_read));
  section.add_fact("tensors", static_cast<int64_t>(tensors.rows.size()));
  return section;
}

/// A row for each tensor; types that elements are not read as by the name the file has for them.
void add_tensors(const std::vector<TorchTensor>& stored, ReportSection& tensors) {
  for (const TorchTensor& tensor : stored) {
    const bool is_readable = tensor.support == TensorSupport::kReadable;
    const bool is_byte = is_readable && tensor.entry.dtype == DType::kU8;
    tensors.rows.push_back(
        {{tensor.name, printable(tensor.name)},
         is_readable && !is_byte ? std::string(name_of(tensor.entry.dtype)) : tensor.storage_type,
         tensor.entry.shape,
         is_readable ? byte_value(tensor.entry.bytes()) : ReportValue("-")});
  }
}

std::vector<ReportSection> safetensors_report(const std::string& path) {
  RandomFile file(path);
  ReportSection tensors = empty_tensor_section();
  add_tensors(read_safetensors_header(file), tensors);
  return {summary(path, container_name(path), file.size(), file.bytes_read(), tensors), tensors};
}

std::vector<ReportSection> torch_report(const std::string& path) {
  const FairseqHeader header = read_fairseq_header({.path = path});
  ReportSection tensors = empty_tensor_section();
  add_tensors(header.tensors, tensors);
  ReportSection settings = make_facts("settings", "");
  for (const auto& [name, text] : header.config.settings) settings.rows.push_back({name, text});
  ReportSection facts =
      summary(path, container_name(path), header.bytes, header.bytes_read, tensors);
  if (!header.config.missing.empty()) facts.add_fact("no_settings", header.config.missing);
  return {facts, settings, tensors};
}

std::vector<ReportSection> state_dict_report(const std::string& path) {
  RandomFile file(path);
  ReportSection tensors = empty_tensor_section();
  add_tensors(read_torch_file(file, TorchLayout::kStateDict).tensors, tensors);
  return {summary(path, container_name(path), file.size(), file.bytes_read(), tensors), tensors};
}

}  // namespace

std::string container_name(const std::string& path) {
  if (path.ends_with(".safetensors")) return "safetensors";
  RandomFile file(path);
  char start[2] = {};
  file.read_at(0, sizeof start, start, "the start of the file");
  return start[0] == 'P' && start[1] == 'K' ? "torch zip" : "torch legacy";
}

std::vector<ReportSection> file_report(const std::string& path) {
  if (path.ends_with(".safetensors")) return safetensors_report(path);
  if (path.ends_with(".bin")) return state_dict_report(path);
  return torch_report(path);
}

}  // namespace switchyard
