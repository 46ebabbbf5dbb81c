// The tokenizer of fairseq's language models: GPT-2's BPE, renumbered by dict.txt.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "runtime/tokenizer/fairseq_dictionary.h"
#include "runtime/tokenizer/gpt2_bpe.h"
#include "runtime/tokenizer/tokenizer.h"

namespace switchyard {

/// The symbols of the dictionary are the decimal ids of the BPE; a piece without one becomes <unk>.
/// With Newlines::kEos a text is split as Python's str.splitlines does and every line that has an
/// end is followed by </s>. Nothing is stripped here, and nothing else is added to a text.
class FairseqTokenizer final : public Tokenizer {
 public:
  /// See load_fairseq_tokenizer.
  FairseqTokenizer(const FairseqTokenizerFiles& files, std::optional<int64_t> embedding_rows,
                   Newlines newlines);

  std::vector<int32_t> encode(std::string_view text, SpecialTokens special) const override;
  /// <s> and </s> are left out in any case, as the reference does; other symbols that are no BPE id
  /// (<unk>, <pad>, madeupword0000) appear as their names. SpecialText::kSkip leaves out <pad> too;
  /// <unk> stands for a piece of the text. Throws Error(kInput) for an id outside the vocabulary.
  std::string decode(std::span<const int32_t> ids, SpecialText special) const override;
  int64_t vocab_size() const override { return static_cast<int64_t>(bytes_of_id_.size()); }

 private:
  void append_ids(std::string_view text, std::vector<int32_t>& ids) const;

  Gpt2Bpe bpe_;
  Newlines newlines_;
  std::unordered_map<int32_t, int32_t> id_of_bpe_id_;
  std::vector<std::string> bytes_of_id_;  // what decode() gives; empty for <s> and </s>
};

}  // namespace switchyard
