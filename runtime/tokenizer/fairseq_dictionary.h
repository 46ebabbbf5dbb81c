// fairseq's dict.txt: which symbol each of the model's ids stands for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace switchyard {

/// Ids that every fairseq dictionary begins with.
struct FairseqIds {
  static constexpr int32_t kBos = 0;  ///< <s>
  static constexpr int32_t kPad = 1;  ///< <pad>
  static constexpr int32_t kEos = 2;  ///< </s>
  static constexpr int32_t kUnk = 3;  ///< <unk>
  static constexpr int32_t kCount = 4;
};

/// The symbols of a model's ids. Immutable and thread-safe.
class FairseqDictionary {
 public:
  /// Reads lines "<symbol> <count>" (split at the last space; a symbol may hold spaces), optionally
  /// followed by " #fairseq:overwrite", which lets a line take over a symbol of an earlier one.
  /// Line n, from 0, is id 4 + n. A dictionary shorter than the `embedding_rows` of the model is
  /// padded with symbols madeupword0000 and so on, with a warning; without a model it stays as it
  /// is. Throws Error(kInput) naming file and line for a malformed line, a symbol that stands there
  /// twice and a dictionary that is too long.
  FairseqDictionary(const std::string& path, std::optional<int64_t> embedding_rows);

  /// The id of a symbol, FairseqIds::kUnk when the dictionary lacks it.
  int32_t id_of(std::string_view symbol) const;
  /// 0 <= id < size().
  const std::string& symbol_of(int32_t id) const { return symbols_[id]; }
  /// The model's embedding_rows, or what the dictionary lists with the special symbols.
  int64_t size() const { return static_cast<int64_t>(symbols_.size()); }

 private:
  void add_line(std::string_view line, int64_t line_number, const std::string& path);
  void pad(const std::string& path, int64_t embedding_rows);

  std::vector<std::string> symbols_;
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace switchyard
