// How a word becomes ids.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/json/json_node.h"

namespace switchyard {

/// A vocabulary and what splits words into its pieces. Immutable and thread-safe.
class SubwordModel {
 public:
  SubwordModel() = default;
  SubwordModel(const SubwordModel&) = delete;
  SubwordModel& operator=(const SubwordModel&) = delete;
  virtual ~SubwordModel() = default;

  /// Appends the ids of a word that is not empty and valid UTF-8; O(n log n) of its n bytes.
  /// Throws Error(kInput) for what the vocabulary cannot say.
  virtual void encode(std::string_view word, std::vector<int32_t>& ids) const = 0;
  virtual std::optional<int32_t> find_id(std::string_view piece) const = 0;
  /// Null for an id that no piece has.
  virtual const std::string* find_piece(int32_t id) const = 0;
  /// How many pieces there are; ids may have gaps.
  virtual int64_t num_pieces() const = 0;
  /// Ids are below this.
  virtual int64_t vocab_size() const = 0;
};

/// The model that an entry of tokenizer.json describes: BPE or Unigram. Throws Error(kInput) naming
/// the entry for another or a malformed one.
std::unique_ptr<const SubwordModel> make_subword_model(const JsonNode& node);

}  // namespace switchyard
