#include "runtime/tokenizer/json/bpe_model.h"

#include <boost/json.hpp>
#include <limits>

#include "runtime/checkpoint/random_file.h"
#include "runtime/tokenizer/json/characters.h"

namespace switchyard {
namespace {

constexpr int32_t kNone = -1;

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

std::string optional_text(const JsonNode& node, std::string_view name) {
  const std::optional<JsonNode> member = node.find(name);
  return member ? std::string(member->text()) : std::string();
}

// The two sides of a merge, written "left right" or ["left", "right"].
std::optional<std::pair<std::string_view, std::string_view>> sides_of(
    const boost::json::value& merge) {
  if (merge.is_string()) {
    const std::string_view text = merge.get_string();
    const size_t space = text.find(' ');
    if (space == text.npos || text.find(' ', space + 1) != text.npos) return std::nullopt;
    return std::pair(text.substr(0, space), text.substr(space + 1));
  }
  if (!merge.is_array() || merge.get_array().size() != 2) return std::nullopt;
  const boost::json::array& sides = merge.get_array();
  if (!sides[0].is_string() || !sides[1].is_string()) return std::nullopt;
  return std::pair<std::string_view, std::string_view>(sides[0].get_string(),
                                                       sides[1].get_string());
}

}  // namespace

// The symbols of a word before any merge.
class BpeModel::Symbols {
 public:
  Symbols(const BpeModel& model, std::vector<int32_t>& symbols)
      : model_(model), symbols_(symbols) {}

  void append(std::string_view piece) {
    const auto found = model_.ids_.find(piece);
    if (found != model_.ids_.end()) {
      finish();
      symbols_.push_back(found->second);
    } else if (!append_bytes(piece) && !model_.unk_token_.empty()) {
      append_unknown();
    }
  }

  void finish() {
    if (pending_unknown_ != kNone) symbols_.push_back(pending_unknown_);
    pending_unknown_ = kNone;
  }

 private:
  bool append_bytes(std::string_view piece) {
    if (!model_.byte_ids_) return false;
    for (const char byte : piece) {
      if ((*model_.byte_ids_)[static_cast<unsigned char>(byte)] == kNone) return false;
    }
    // An unknown character that waits goes behind the bytes, as the reference library has it.
    for (const char byte : piece) {
      symbols_.push_back((*model_.byte_ids_)[static_cast<unsigned char>(byte)]);
    }
    return true;
  }

  void append_unknown() {
    const auto found = model_.ids_.find(model_.unk_token_);
    if (found == model_.ids_.end()) {
      fail_input(model_.place_,
                 ": the vocabulary lacks a character of the text and \"unk_token\" '",
                 printable(model_.unk_token_), "'");
    }
    if (model_.unknown_runs_ == UnknownRuns::kEach) finish();
    pending_unknown_ = found->second;
  }

  const BpeModel& model_;
  std::vector<int32_t>& symbols_;
  int32_t pending_unknown_ = kNone;
};

BpeModel::BpeModel(const JsonNode& node)
    : place_(node.place()),
      unk_token_(optional_text(node, "unk_token")),
      continuing_prefix_(optional_text(node, "continuing_subword_prefix")),
      end_suffix_(optional_text(node, "end_of_word_suffix")) {
  if (const std::optional<JsonNode> dropout = node.find("dropout")) {
    if (dropout->number() != 0)
      dropout->refuse("merges that are left out at random are not supported");
  }
  if (node.flag("fuse_unk", false)) unknown_runs_ = UnknownRuns::kFused;
  if (node.flag("ignore_merges", false)) whole_words_ = WholeWords::kLookedUp;
  read_vocabulary(node.at("vocab"));
  read_merges(node.at("merges"));
  if (node.flag("byte_fallback", false)) read_byte_ids();
}

void BpeModel::read_vocabulary(const JsonNode& node) {
  if (!node.value().is_object()) node.refuse("expected an object {piece: id}");
  for (const auto& [piece, value] : node.value().get_object()) {
    const JsonNode entry(value, concat(node.place(), " '", printable(piece), "'"));
    const int64_t id = entry.integer(0, std::numeric_limits<int32_t>::max() - 1);
    const auto at = ids_.emplace(std::string(piece), static_cast<int32_t>(id)).first;
    const auto [known, is_new] = pieces_.emplace(static_cast<int32_t>(id), &at->first);
    if (!is_new) entry.refuse("has the id ", id, ", as '", printable(*known->second), "' has");
    vocab_size_ = std::max(vocab_size_, id + 1);
  }
}

void BpeModel::read_merges(const JsonNode& node) {
  if (!node.value().is_array()) node.refuse("expected an array of merges");
  const int64_t num_merges = static_cast<int64_t>(node.value().get_array().size());
  for (int64_t index = 0; index < num_merges; ++index) add_merge(node, index);
}

void BpeModel::add_merge(const JsonNode& merges, int64_t index) {
  const boost::json::value& merge = merges.value().get_array()[static_cast<size_t>(index)];
  const auto refuse = [&](const auto&... parts) {
    const std::string text = printable(boost::json::serialize(merge));
    fail_input(merges.place(), "[", index, "] ", text, ": ", parts...);
  };
  const auto id_of = [&](std::string_view piece) {
    const auto found = ids_.find(piece);
    if (found == ids_.end()) refuse("the vocabulary lacks '", printable(piece), "'");
    return found->second;
  };
  const auto sides = sides_of(merge);
  if (!sides) refuse("expected \"left right\" or [\"left\", \"right\"]");
  const auto& [left, right] = *sides;
  if (right.size() < continuing_prefix_.size()) {
    refuse("the right side is shorter than \"continuing_subword_prefix\"");
  }
  const int32_t left_id = id_of(left);
  const int32_t right_id = id_of(right);
  const int32_t joined = id_of(concat(left, right.substr(continuing_prefix_.size())));
  // Of two merges of one pair the later one counts, as in the reference library.
  merges_[pair_key(left_id, right_id)] = {static_cast<int32_t>(index), joined};
}

void BpeModel::read_byte_ids() {
  byte_ids_.emplace();
  for (int byte = 0; byte < 256; ++byte) {
    (*byte_ids_)[byte] = find_id(byte_piece(static_cast<unsigned char>(byte))).value_or(kNone);
  }
}

std::optional<int32_t> BpeModel::find_id(std::string_view piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

const std::string* BpeModel::find_piece(int32_t id) const {
  const auto found = pieces_.find(id);
  return found == pieces_.end() ? nullptr : found->second;
}

std::optional<PairMerge> BpeModel::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? std::nullopt : std::optional<PairMerge>(found->second);
}

void BpeModel::append_symbols(std::string_view word, std::vector<int32_t>& symbols) const {
  Symbols builder(*this, symbols);
  std::string decorated;
  for_each_character(word, [&](char32_t, std::string_view bytes) {
    const bool is_first = bytes.data() == word.data();
    const bool is_last = bytes.data() + bytes.size() == word.data() + word.size();
    const std::string_view prefix = is_first ? std::string_view() : continuing_prefix_;
    const std::string_view suffix = is_last ? std::string_view(end_suffix_) : std::string_view();
    if (prefix.empty() && suffix.empty()) {
      builder.append(bytes);
    } else {
      builder.append(decorated.assign(prefix).append(bytes).append(suffix));
    }
  });
  builder.finish();
}

void BpeModel::encode(std::string_view word, std::vector<int32_t>& ids) const {
  if (whole_words_ == WholeWords::kLookedUp) {
    if (const std::optional<int32_t> id = find_id(word)) {
      ids.push_back(*id);
      return;
    }
  }
  std::vector<int32_t> symbols;
  symbols.reserve(word.size());
  append_symbols(word, symbols);
  PairMerger().merge(symbols,
                     [this](int32_t left, int32_t right) { return find_merge(left, right); });
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

}  // namespace switchyard
