// Byte-pair encoding as tokenizer.json describes it.
#pragma once

#include <array>
#include <optional>
#include <unordered_map>

#include "runtime/tokenizer/json/subword_model.h"
#include "runtime/tokenizer/json/vocabulary.h"
#include "runtime/tokenizer/pair_merger.h"

namespace switchyard {

/// Splits a word into characters and joins them by the list of merges (see PairMerger). The
/// semantics are those of the tokenizers library of Hugging Face, version 0.22.
class BpeModel final : public SubwordModel {
 public:
  explicit BpeModel(const JsonNode& node);

  void encode(std::string_view word, std::vector<int32_t>& ids) const override;
  std::optional<int32_t> find_id(std::string_view piece) const override;
  const std::string* find_piece(int32_t id) const override;
  int64_t num_pieces() const override { return static_cast<int64_t>(ids_.size()); }
  int64_t vocab_size() const override { return vocab_size_; }

 private:
  enum class WholeWords { kMerged, kLookedUp };
  enum class UnknownRuns { kEach, kFused };
  class Symbols;

  void read_vocabulary(const JsonNode& node);
  void read_merges(const JsonNode& node);
  void add_merge(const JsonNode& merges, int64_t index);
  void read_byte_ids();
  std::optional<PairMerge> find_merge(int32_t left, int32_t right) const;
  void append_symbols(std::string_view word, std::vector<int32_t>& symbols) const;

  std::string place_;
  PieceIds ids_;
  std::unordered_map<int32_t, const std::string*> pieces_;  // keys of ids_
  int64_t vocab_size_ = 0;
  std::unordered_map<uint64_t, PairMerge> merges_;  // by the ids of left and right
  std::string unk_token_;                           // empty: none
  std::string continuing_prefix_;
  std::string end_suffix_;
  UnknownRuns unknown_runs_ = UnknownRuns::kEach;
  WholeWords whole_words_ = WholeWords::kMerged;
  // Ids of the pieces that stand for bytes, -1 for a byte without; nothing without byte_fallback.
  std::optional<std::array<int32_t, 256>> byte_ids_;
};

}  // namespace switchyard
