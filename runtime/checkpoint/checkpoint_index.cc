#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

int64_t TensorEntry::num_elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

int64_t TensorEntry::bytes() const { return num_elements() * size_of(dtype); }

bool TensorEntry::is_contiguous() const {
  if (num_elements() == 0) return true;
  if (!parts.empty() || encoding != TensorEncoding::kPlain) return false;
  int64_t expected = 1;
  for (size_t i = shape.size(); i-- > 0;) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return true;
}

std::vector<int64_t> row_major_strides(const std::vector<int64_t>& shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;) strides[i - 1] = strides[i] * shape[i];
  return strides;
}

std::string shape_text(const std::vector<int64_t>& shape, std::string_view separator) {
  std::string text = "[";
  for (const int64_t size : shape) text += concat(text.size() > 1 ? separator : "", size);
  return text + "]";
}

const TensorEntry& CheckpointIndex::at(const std::string& name) const {
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    fail_input(files.empty() ? "the checkpoint" : files[0].path, ": the checkpoint of ",
               files.size(), " files has no tensor '", name, "'");
  }
  return found->second;
}

}  // namespace switchyard
