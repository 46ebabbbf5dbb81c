// GPT-2's byte-level byte-pair encoding.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace switchyard {

/// Text to ids of encoder.json. Every byte of a word (see Gpt2Words) is a symbol at first; then the
/// neighbours whose merge stands first in vocab.bpe are joined, all their occurrences from left to
/// right, until no merge applies. Immutable and thread-safe.
class Gpt2Bpe {
 public:
  /// Reads the vocabulary {piece: id} and the merges, one a line after a line that is skipped.
  /// Throws Error(kInput) naming file and line.
  Gpt2Bpe(const std::string& encoder_path, const std::string& merges_path);

  /// Appends the ids of a text. Invalid UTF-8 is read as U+FFFD. A word of n bytes takes
  /// O(n log n).
  void encode(std::string_view text, std::vector<int32_t>& ids) const;

  /// The bytes an id stands for; null when encoder.json has no such id.
  const std::string* find_bytes(int32_t id) const;
  /// The lowest id that stands for these bytes; -1 when there is none. Looks at all of them.
  int32_t find_id(std::string_view bytes) const;
  /// Ids are below this.
  int64_t vocab_size() const;

 private:
  struct Merge {
    int32_t rank;
    int32_t symbol;  // what the pair becomes
  };
  struct Workspace;
  class Builder;

  const Merge* find_merge(int32_t left, int32_t right) const;
  void encode_word(std::string_view word, Workspace& work, std::vector<int32_t>& ids) const;
  void push_pair(int32_t left, Workspace& work) const;
  void merge_rank(int32_t rank, Workspace& work) const;

  // Symbols 0 to 255 are the bytes; each further one is what merges give.
  std::vector<int32_t> id_of_symbol_;
  std::unordered_map<uint64_t, Merge> merges_;  // key: left symbol, right symbol
  std::unordered_map<int32_t, std::string> bytes_of_id_;
};

}  // namespace switchyard
