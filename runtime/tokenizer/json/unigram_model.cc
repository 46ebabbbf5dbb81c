#include "runtime/tokenizer/json/unigram_model.h"

#include <algorithm>
#include <limits>

#include "runtime/tokenizer/json/characters.h"

namespace switchyard {
namespace {

constexpr int32_t kUnreached = -1;
constexpr double kUnknownPenalty = 10;  // the reference library's, and sentencepiece's

}  // namespace

// The best split of the text up to some byte.
struct UnigramModel::PathEnd {
  double score = 0;
  int32_t last_begin = kUnreached;  // where its last piece begins
  int32_t last_id = 0;
};

UnigramModel::UnigramModel(const JsonNode& node) : place_(node.place()) {
  read_vocabulary(node.at("vocab"));
  if (const std::optional<JsonNode> id = node.find("unk_id")) {
    unk_id_ = static_cast<int32_t>(id->integer(0, num_pieces() - 1));
  }
  if (node.flag("byte_fallback", false)) unknown_ = Unknown::kBytes;
  index_ = index_pieces();
}

void UnigramModel::read_vocabulary(const JsonNode& node) {
  lowest_score_ = std::numeric_limits<double>::infinity();
  for (const JsonNode& entry : node.items()) {
    const std::vector<JsonNode> parts = entry.items();
    if (parts.size() != 2) entry.refuse("expected [piece, score]");
    const int32_t id = static_cast<int32_t>(pieces_.size());
    pieces_.emplace_back(parts[0].text());
    scores_.push_back(parts[1].number());
    lowest_score_ = std::min(lowest_score_, scores_.back());
    ids_.insert_or_assign(pieces_.back(), id);
  }
}

PrefixIndex UnigramModel::index_pieces() const {
  std::vector<PrefixIndex::Entry> entries;
  for (const auto& [piece, id] : ids_) {
    if (!piece.empty()) entries.push_back({piece, id});
  }
  return PrefixIndex(std::move(entries));
}

std::optional<int32_t> UnigramModel::find_id(std::string_view piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? std::nullopt : std::optional<int32_t>(found->second);
}

const std::string* UnigramModel::find_piece(int32_t id) const {
  return id >= 0 && id < num_pieces() ? &pieces_[static_cast<size_t>(id)] : nullptr;
}

int32_t UnigramModel::unknown_id() const {
  if (!unk_id_) {
    fail_input(place_,
               ": the vocabulary lacks a character of the text, and there is no \"unk_id\"");
  }
  return *unk_id_;
}

// The end of the best path at every byte where a character ends.
std::vector<UnigramModel::PathEnd> UnigramModel::find_best_paths(std::string_view word) const {
  std::vector<PathEnd> ends(word.size() + 1);
  const auto offer = [&ends](size_t begin, size_t end, double score, int32_t id) {
    PathEnd& best = ends[end];
    const double sum = score + ends[begin].score;
    if (best.last_begin != kUnreached && sum <= best.score) return;
    best = {sum, static_cast<int32_t>(begin), id};
  };
  for_each_character(word, [&](char32_t, std::string_view bytes) {
    const size_t begin = static_cast<size_t>(bytes.data() - word.data());
    bool is_known = false;
    index_.for_each_prefix(word.substr(begin), [&](size_t length, int32_t id) {
      offer(begin, begin + length, scores_[static_cast<size_t>(id)], id);
      is_known = is_known || length == bytes.size();
    });
    if (!is_known) {
      offer(begin, begin + bytes.size(), lowest_score_ - kUnknownPenalty, unknown_id());
    }
  });
  return ends;
}

void UnigramModel::append_unknown(std::string_view text, std::vector<int32_t>& ids) const {
  if (const std::optional<int32_t> id = find_id(text)) {
    ids.push_back(*id);
    return;
  }
  const size_t size_before = ids.size();
  bool has_all_bytes = unknown_ == Unknown::kBytes;
  for (size_t i = 0; has_all_bytes && i < text.size(); ++i) {
    const std::optional<int32_t> id = find_id(byte_piece(static_cast<unsigned char>(text[i])));
    has_all_bytes = id.has_value();
    if (has_all_bytes) ids.push_back(*id);
  }
  if (has_all_bytes) return;
  ids.resize(size_before);
  ids.push_back(unknown_id());
}

void UnigramModel::encode(std::string_view word, std::vector<int32_t>& ids) const {
  const std::vector<PathEnd> ends = find_best_paths(word);
  std::vector<size_t> borders;  // of the pieces, from the last to the first
  for (size_t at = word.size(); at > 0; at = static_cast<size_t>(ends[at].last_begin)) {
    borders.push_back(at);
  }
  size_t unknown_begin = 0;
  size_t begin = 0;
  for (auto end = borders.rbegin(); end != borders.rend(); ++end) {
    const bool is_unknown = ends[*end].last_id == unk_id_;
    if (!is_unknown) {
      if (unknown_begin < begin)
        append_unknown(word.substr(unknown_begin, begin - unknown_begin), ids);
      ids.push_back(ends[*end].last_id);
      unknown_begin = *end;
    }
    begin = *end;
  }
  if (unknown_begin < word.size()) append_unknown(word.substr(unknown_begin), ids);
}

}  // namespace switchyard
