// The unigram language model as tokenizer.json describes it.
#pragma once

#include "runtime/tokenizer/json/prefix_index.h"
#include "runtime/tokenizer/json/subword_model.h"
#include "runtime/tokenizer/json/vocabulary.h"

namespace switchyard {

/// Splits a word into the pieces with the highest sum of scores. A character that is no piece of
/// its own is unknown, at the lowest score less 10; neighbours that are unknown become one id, or
/// the ids of their bytes with "byte_fallback". The semantics are those of the tokenizers library
/// of Hugging Face, version 0.22.
class UnigramModel final : public SubwordModel {
 public:
  explicit UnigramModel(const JsonNode& node);

  void encode(std::string_view word, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> find_id(std::string_view piece) const override;
  const std::string* find_piece(int32_t id) const override;
  int64_t num_pieces() const override { return static_cast<int64_t>(pieces_.size()); }
  int64_t vocab_size() const override { return num_pieces(); }

 private:
  struct PathEnd;
  enum class Unknown { kOneId, kBytes };

  void read_vocabulary(const JsonNode& node);
  PrefixIndex index_pieces() const;
  std::vector<PathEnd> find_best_paths(std::string_view word) const;
  void append_unknown(std::string_view text, std::vector<int32_t>& ids) const;
  int32_t unknown_id() const;

  std::string place_;
  std::vector<std::string> pieces_;
  std::vector<double> scores_;
  double lowest_score_ = 0;
  PieceIds ids_;  // of equal pieces the last one's
  std::optional<int32_t> unk_id_;
  Unknown unknown_ = Unknown::kOneId;
  PrefixIndex index_{{}};
};

}  // namespace switchyard
