#include "runtime/tokenizer/json/decoder.h"

#include <charconv>
#include <functional>
#include <limits>
#include <optional>
#include <utility>

#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/json/characters.h"
#include "runtime/tokenizer/json/metaspace.h"
#include "runtime/tokenizer/json/text_pattern.h"

namespace switchyard {
namespace {

using Pieces = std::vector<std::string>;

class DecoderSequence final : public Decoder {
 public:
  explicit DecoderSequence(std::vector<std::unique_ptr<const Decoder>> parts)
      : parts_(std::move(parts)) {}

  void apply(Pieces& pieces) const override {
    for (const auto& part : parts_) part->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<const Decoder>> parts_;
};

class FunctionDecoder final : public Decoder {
 public:
  using Function = std::function<void(Pieces&)>;
  explicit FunctionDecoder(Function function) : function_(std::move(function)) {}

  void apply(Pieces& pieces) const override { function_(pieces); }

 private:
  Function function_;
};

std::string join(const Pieces& pieces) {
  std::string text;
  for (const std::string& piece : pieces) text += piece;
  return text;
}

void fuse(Pieces& pieces) { pieces = {join(pieces)}; }

void decode_byte_level(Pieces& pieces) {
  std::string bytes;
  for (const std::string& piece : pieces) bytes += from_byte_alphabet(piece).value_or(piece);
  pieces = {replace_invalid_utf8(bytes)};
}

// The byte of a piece such as <0x0A>.
std::optional<char> byte_of(std::string_view piece) {
  if (piece.size() != 6 || !piece.starts_with("<0x") || !piece.ends_with('>')) return std::nullopt;
  unsigned value = 0;
  const char* end = piece.data() + 5;
  const auto [rest, error] = std::from_chars(piece.data() + 3, end, value, 16);
  if (error != std::errc() || rest != end) return std::nullopt;
  return static_cast<char>(value);
}

// Appends a run of bytes: its text or, if it is not UTF-8, U+FFFD for every byte.
void append_byte_run(std::string& bytes, Pieces& pieces) {
  if (find_invalid_utf8(bytes) == bytes.npos) {
    if (!bytes.empty()) pieces.push_back(bytes);
  } else {
    for (size_t i = 0; i < bytes.size(); ++i)
      append_utf8(kReplacementCharacter, pieces.emplace_back());
  }
  bytes.clear();
}

void join_bytes(Pieces& pieces) {
  Pieces result;
  std::string bytes;
  for (std::string& piece : pieces) {
    if (const std::optional<char> byte = byte_of(piece)) {
      bytes += *byte;
      continue;
    }
    append_byte_run(bytes, result);
    result.push_back(std::move(piece));
  }
  append_byte_run(bytes, result);
  pieces = std::move(result);
}

// Every occurrence of a text that is not empty, replaced.
std::string replace_all(std::string_view text, std::string_view what, std::string_view by) {
  std::string result;
  size_t begin = 0;
  for (size_t at = text.find(what); at != text.npos; at = text.find(what, begin)) {
    result.append(text.substr(begin, at - begin)).append(by);
    begin = at + what.size();
  }
  return result.append(text.substr(begin));
}

FunctionDecoder::Function make_metaspace(const JsonNode& node) {
  return [settings = read_metaspace(node)](Pieces& pieces) {
    const bool drops_first = settings.prepend_scheme != PrependScheme::kNever;
    for (std::string& piece : pieces) {
      const bool drops = drops_first && &piece == &pieces.front();
      piece = replace_all(piece, settings.replacement, drops ? "" : " ");
    }
  };
}

FunctionDecoder::Function make_replace(const JsonNode& node) {
  const std::shared_ptr<const TextReplacement> replacement = make_replacement(node);
  return [replacement](Pieces& pieces) {
    for (std::string& piece : pieces) piece = replacement->apply(piece).text;
  };
}

FunctionDecoder::Function make_strip(const JsonNode& node) {
  std::string content;
  append_utf8(node.at("content").character(), content);
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max();
  const int64_t start = node.at("start").integer(0, kMost);
  const int64_t stop = node.at("stop").integer(0, kMost);
  return [content, start, stop](Pieces& pieces) {
    for (std::string& piece : pieces) {
      std::string_view rest = piece;
      for (int64_t i = 0; i < start && rest.starts_with(content); ++i) {
        rest.remove_prefix(content.size());
      }
      for (int64_t i = 0; i < stop && rest.ends_with(content); ++i) {
        rest.remove_suffix(content.size());
      }
      piece = std::string(rest);
    }
  };
}

// The suffix ends words; the last piece's leaves no space.
FunctionDecoder::Function make_bpe(const JsonNode& node) {
  const std::string suffix(node.at("suffix").text());
  if (suffix.empty()) node.refuse("an empty \"suffix\" cannot be searched for");
  return [suffix](Pieces& pieces) {
    for (std::string& piece : pieces) {
      piece = replace_all(piece, suffix, &piece == &pieces.back() ? "" : " ");
    }
  };
}

FunctionDecoder::Function make_function(const JsonNode& node) {
  const std::string type = node.type();
  if (type == "ByteLevel") return decode_byte_level;
  if (type == "ByteFallback") return join_bytes;
  if (type == "Fuse") return fuse;
  if (type == "Metaspace") return make_metaspace(node);
  if (type == "Replace") return make_replace(node);
  if (type == "Strip") return make_strip(node);
  if (type == "BPEDecoder") return make_bpe(node);
  node.refuse("decoders of type '", type, "' are not supported; these are: ByteLevel, Metaspace, ",
              "ByteFallback, Fuse, Replace, Strip, BPEDecoder, Sequence");
}

}  // namespace

std::unique_ptr<const Decoder> make_decoder(const JsonNode& node) {
  if (node.type() != "Sequence") return std::make_unique<FunctionDecoder>(make_function(node));
  std::vector<std::unique_ptr<const Decoder>> parts;
  for (const JsonNode& part : node.at("decoders").items()) parts.push_back(make_decoder(part));
  return std::make_unique<DecoderSequence>(std::move(parts));
}

}  // namespace switchyard
