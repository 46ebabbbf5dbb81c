#include "runtime/tokenizer/gpt2_tokenizer.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";

}  // namespace

Gpt2Tokenizer::Gpt2Tokenizer(const std::string& directory)
    : bpe_(directory + "/encoder.json", directory + "/vocab.bpe"),
      end_of_text_(bpe_.find_id(kEndOfText)) {}

std::vector<int32_t> Gpt2Tokenizer::encode(std::string_view text, SpecialTokens /*special*/) const {
  std::vector<int32_t> ids;
  size_t begin = 0;
  while (end_of_text_ >= 0) {
    const size_t at = text.find(kEndOfText, begin);
    if (at == text.npos) break;
    bpe_.encode(text.substr(begin, at - begin), ids);
    ids.push_back(end_of_text_);
    begin = at + kEndOfText.size();
  }
  bpe_.encode(text.substr(begin), ids);
  return ids;
}

std::string Gpt2Tokenizer::decode(std::span<const int32_t> ids, SpecialText special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (special == SpecialText::kSkip && id == end_of_text_) continue;
    const std::string* piece = bpe_.find_bytes(id);
    if (piece == nullptr) fail_input("id ", id, " cannot be decoded: encoder.json has no such id");
    bytes += *piece;
  }
  return replace_invalid_utf8(bytes);
}

}  // namespace switchyard
