// Text to token ids and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// What a line end in a text becomes (fairseq models; others know only kKeep).
enum class Newlines {
  kKeep,  ///< encoded like any other character
  kEos,   ///< the text is split as Python's str.splitlines does; every line end becomes </s>
};

/// What encode() adds to a text.
enum class SpecialTokens {
  kAdd,   ///< what the tokenizer's post-processor adds (nothing for fairseq)
  kNone,  ///< nothing
};

/// What decode() does with special tokens.
enum class SpecialText {
  kKeep,  ///< their text stands in the result
  kSkip,  ///< they are left out
};

/// Maps UTF-8 text to the model's token ids. Immutable and thread-safe.
class Tokenizer {
 public:
  Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;
  virtual ~Tokenizer() = default;

  /// Linear-time in the length of the text up to the merges of one word. Invalid UTF-8 is encoded
  /// as U+FFFD, as a lenient decoder would read it.
  virtual std::vector<int32_t> encode(std::string_view text, SpecialTokens special) const = 0;
  /// Inverse of encode on what encode gives; invalid UTF-8 in the result becomes U+FFFD.
  virtual std::string decode(std::span<const int32_t> ids, SpecialText special) const = 0;
  /// Ids are below this.
  virtual int64_t vocab_size() const = 0;
};

/// Where a fairseq model's tokenizer files are.
struct FairseqTokenizerFiles {
  std::string directory;   // holds encoder.json and vocab.bpe
  std::string dictionary;  // dict.txt
};

/// GPT-2 byte-level BPE remapped through fairseq's dictionary. `embedding_rows` is the model's
/// vocabulary: a shorter dictionary is padded with a warning, a longer one is an error; without a
/// model the vocabulary is the dictionary's. Throws Error(kInput) naming the file and line.
std::unique_ptr<Tokenizer> load_fairseq_tokenizer(const FairseqTokenizerFiles& files,
                                                  std::optional<int64_t> embedding_rows,
                                                  Newlines newlines);

}  // namespace switchyard
