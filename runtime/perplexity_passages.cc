#include "runtime/perplexity_passages.h"

#include "kernels/base/error.h"
#include "runtime/requests/request.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {

TextKind text_kind_of(const std::string& input) {
  return input.ends_with(".jsonl") ? TextKind::kDocuments : TextKind::kLines;
}

PassageReader::PassageReader(const std::string& input, TextKind kind, const Tokenizer& tokenizer,
                             int32_t eos_token, SpecialTokens special_tokens)
    : lines_(input, kind == TextKind::kLines ? LineForm::kText : LineForm::kRecords),
      kind_(kind),
      tokenizer_(tokenizer),
      special_tokens_(special_tokens),
      eos_token_(eos_token) {}

std::optional<Passage> PassageReader::next() {
  const std::optional<std::string_view> line = lines_.next();
  if (!line) return std::nullopt;
  Passage passage;
  passage.line = lines_.line_number();
  if (kind_ == TextKind::kLines) {
    passage.ids = tokenizer_.encode(check_utf8(*line), special_tokens_);
    passage.ids.push_back(eos_token_);
  } else {
    const TextRecord record = parse_text_record(*line, passage.line, name(), TextId::kIgnored);
    passage.ids = tokenizer_.encode(record.text, special_tokens_);
    document_bytes_ += static_cast<int64_t>(record.text.size());
  }
  return passage;
}

int64_t PassageReader::num_bytes() const {
  return kind_ == TextKind::kLines ? lines_.bytes_done() : document_bytes_;
}

std::string_view PassageReader::check_utf8(std::string_view line) const {
  const size_t invalid = find_invalid_utf8(line);
  if (invalid == line.npos) return line;
  fail_input(name(), ":", lines_.line_number(), ": the line is not UTF-8 (from byte ", invalid,
             " of ", line.size(), " on); expected a text file");
}

}  // namespace switchyard
