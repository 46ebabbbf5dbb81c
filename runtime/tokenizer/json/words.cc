#include "runtime/tokenizer/json/words.h"

#include <utility>

namespace switchyard {

Words::Words(std::string text, size_t num_original_bytes)
    : text_(std::move(text)), num_original_bytes_(num_original_bytes) {
  if (!text_.empty()) spans_.push_back({0, text_.size()});
}

void Words::cut(const std::function<std::vector<TextSpan>(std::string_view)>& cut) {
  std::vector<TextSpan> parts;
  parts.reserve(spans_.size());
  for (const TextSpan& span : spans_) {
    for (const TextSpan& part : cut(text_of(span))) {
      if (part.begin == part.end) continue;
      parts.push_back({span.begin + part.begin, span.begin + part.end});
    }
  }
  spans_ = std::move(parts);
}

void Words::replace(const std::function<std::string(TextSpan)>& map) {
  std::string text;
  std::vector<TextSpan> spans;
  spans.reserve(spans_.size());
  size_t num_original_bytes = 0;
  for (const TextSpan& span : spans_) {
    const size_t begin = text.size();
    text += map(span);
    if (text.size() == begin) continue;
    spans.push_back({begin, text.size()});
    if (is_first(span)) num_original_bytes = begin + 1;
  }
  text_ = std::move(text);
  spans_ = std::move(spans);
  num_original_bytes_ = num_original_bytes;
}

}  // namespace switchyard
