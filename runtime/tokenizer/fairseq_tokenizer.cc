#include "runtime/tokenizer/fairseq_tokenizer.h"

#include <charconv>
#include <optional>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

// The number whose decimal text, without sign or leading zeros, is the symbol.
std::optional<int32_t> parse_bpe_id(const std::string& symbol) {
  int32_t id = 0;
  const char* end = symbol.data() + symbol.size();
  const auto [rest, error] = std::from_chars(symbol.data(), end, id);
  if (error != std::errc() || rest != end || std::to_string(id) != symbol) return std::nullopt;
  return id;
}

// Bytes of the line end that begins at text[at], 0 when none does. Line ends are those of Python's
// str.splitlines: \n \r \r\n \v \f U+001C to U+001E, U+0085, U+2028, U+2029.
size_t line_end_length(std::string_view text, size_t at) {
  const unsigned char byte = static_cast<unsigned char>(text[at]);
  if (byte == '\r') return text.substr(at, 2) == "\r\n" ? 2 : 1;
  if ((byte >= '\n' && byte <= '\f') || (byte >= 0x1C && byte <= 0x1E)) return 1;
  if (byte == 0xC2) return text.substr(at, 2) == "\xC2\x85" ? 2 : 0;
  if (byte != 0xE2) return 0;
  const std::string_view three = text.substr(at, 3);
  return three == "\xE2\x80\xA8" || three == "\xE2\x80\xA9" ? 3 : 0;
}

}  // namespace

FairseqTokenizer::FairseqTokenizer(const FairseqTokenizerFiles& files,
                                   std::optional<int64_t> embedding_rows, Newlines newlines)
    : bpe_(files.directory + "/encoder.json", files.directory + "/vocab.bpe"), newlines_(newlines) {
  const FairseqDictionary dictionary(files.dictionary, embedding_rows);
  bytes_of_id_.resize(dictionary.size());
  int64_t num_unknown = 0;
  for (int32_t id = 0; id < dictionary.size(); ++id) {
    const std::string& symbol = dictionary.symbol_of(id);
    const std::optional<int32_t> bpe_id = parse_bpe_id(symbol);
    const std::string* bytes = bpe_id ? bpe_.find_bytes(*bpe_id) : nullptr;
    if (id != FairseqIds::kBos && id != FairseqIds::kEos)
      bytes_of_id_[id] = bytes ? *bytes : symbol;
    // Of several lines with one symbol the last one counts (#fairseq:overwrite).
    if (bytes) id_of_bpe_id_[*bpe_id] = dictionary.id_of(symbol);
    if (bpe_id && !bytes) ++num_unknown;
  }
  if (id_of_bpe_id_.empty()) {
    fail_input(files.dictionary, " lists none of the ids of ", files.directory,
               "/encoder.json: expected lines '<BPE id> <count>'; name the right files with "
               "--dict FILE and --tokenizer DIR");
  }
  if (num_unknown > 0) {
    log_warning(files.dictionary, " lists ", num_unknown, " ids that ", files.directory,
                "/encoder.json lacks; the two may belong to different models");
  }
}

std::vector<int32_t> FairseqTokenizer::encode(std::string_view text,
                                              SpecialTokens /*special*/) const {
  std::vector<int32_t> ids;
  if (newlines_ == Newlines::kKeep) {
    append_ids(text, ids);
    return ids;
  }
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t length = line_end_length(text, at);
    if (length == 0) {
      ++at;
      continue;
    }
    append_ids(text.substr(begin, at - begin), ids);
    ids.push_back(FairseqIds::kEos);
    at += length;
    begin = at;
  }
  append_ids(text.substr(begin), ids);
  return ids;
}

void FairseqTokenizer::append_ids(std::string_view text, std::vector<int32_t>& ids) const {
  const size_t first = ids.size();
  bpe_.encode(text, ids);
  for (size_t i = first; i < ids.size(); ++i) {
    const auto found = id_of_bpe_id_.find(ids[i]);
    ids[i] = found == id_of_bpe_id_.end() ? FairseqIds::kUnk : found->second;
  }
}

std::string FairseqTokenizer::decode(std::span<const int32_t> ids, SpecialText special) const {
  std::string bytes;
  for (const int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) {
      fail_input("id ", id, " cannot be decoded: the vocabulary has the ids 0 to ",
                 vocab_size() - 1);
    }
    if (special == SpecialText::kSkip && id == FairseqIds::kPad) continue;
    bytes += bytes_of_id_[id];
  }
  return replace_invalid_utf8(bytes);
}

std::unique_ptr<Tokenizer> load_fairseq_tokenizer(const FairseqTokenizerFiles& files,
                                                  std::optional<int64_t> embedding_rows,
                                                  Newlines newlines) {
  return std::make_unique<FairseqTokenizer>(files, embedding_rows, newlines);
}

}  // namespace switchyard
