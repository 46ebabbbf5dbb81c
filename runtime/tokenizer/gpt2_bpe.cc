#include "runtime/tokenizer/gpt2_bpe.h"
#include "runtime/checkpoint/random_file.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/tokenizer/byte_alphabet.h"
#include "runtime/tokenizer/gpt2_words.h"
#include "runtime/tokenizer/json_file.h"
#include "runtime/tokenizer/text_file.h"
#include "runtime/tokenizer/unicode_text.h"

namespace switchyard {
namespace {

constexpr char kHelp[] =
    "the GPT-2 BPE vocabulary is encoder.json and vocab.bpe in one folder; name it with "
    "--tokenizer DIR";

constexpr int32_t kNone = -1;

// The bytes a piece of the vocabulary stands for. A piece with a character outside the alphabet (a
// special token with a space, say) stands for its own text.
std::string bytes_of_piece(std::string_view piece) {
  return from_byte_alphabet(piece).value_or(std::string(piece));
}

using PieceIds = std::unordered_map<std::string, int32_t>;

PieceIds read_encoder(const std::string& path) {
  PieceIds ids;
  for (const auto& [piece, value] : read_json_object(path, kHelp)) {
    ids.emplace(std::string(piece), read_token_id(value, piece, path));
  }
  return ids;
}

uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

}  // namespace

// Fills a Gpt2Bpe from its two files; holds what only the loading needs.
class Gpt2Bpe::Builder {
 public:
  Builder(Gpt2Bpe& bpe, const std::string& encoder_path, const std::string& merges_path)
      : bpe_(bpe), encoder_path_(encoder_path), merges_path_(merges_path) {}

  void build() {
    encoder_ = read_encoder(encoder_path_);
    add_bytes();
    for (int byte = 0; byte < 256; ++byte) {
      const std::string piece = to_byte_alphabet(std::string(1, static_cast<char>(byte)));
      if (intern(piece) == kNone) {
        fail_input(encoder_path_, " lacks the single-byte piece '", printable(piece), "': ", kHelp);
      }
    }
    read_merges();
  }

 private:
  void add_bytes() {
    for (const auto& [piece, id] : encoder_) {
      const auto [at, is_new] = bpe_.bytes_of_id_.emplace(id, bytes_of_piece(piece));
      if (!is_new) {
        fail_input(encoder_path_, ": two pieces have the id ", id, ", one of them '",
                   printable(piece), "'");
      }
    }
  }

  // The symbol of a piece, made when it is new; kNone for a piece that encoder.json lacks.
  int32_t intern(const std::string& piece) {
    const auto known = symbols_.find(piece);
    if (known != symbols_.end()) return known->second;
    const auto id = encoder_.find(piece);
    if (id == encoder_.end()) return kNone;
    const int32_t symbol = static_cast<int32_t>(bpe_.id_of_symbol_.size());
    bpe_.id_of_symbol_.push_back(id->second);
    symbols_.emplace(piece, symbol);
    return symbol;
  }

  void read_merges() {
    const std::string text = read_text_file(merges_path_, kHelp);
    int32_t line_number = 0;
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = std::min(text.find('\n', begin), text.size());
      std::string_view line = std::string_view(text).substr(begin, end - begin);
      if (line.ends_with('\r')) line.remove_suffix(1);
      ++line_number;
      if (line_number > 1) add_merge(line, line_number);
      begin = end + 1;
    }
    if (line_number == 0) fail_input(merges_path_, " is empty: ", kHelp);
  }

  void add_merge(std::string_view line, int32_t line_number) {
    const size_t space = line.find(' ');
    if (space == 0 || space == line.npos || space + 1 == line.size() ||
        line.find(' ', space + 1) != line.npos) {
      fail_input(merges_path_, ":", line_number,
                 ": expected two pieces separated by one space, found '", line.substr(0, 80), "'");
    }
    const std::string left(line.substr(0, space));
    const std::string right(line.substr(space + 1));
    const Merge merge{line_number, symbol_at(left + right, line_number)};
    const uint64_t key = pair_key(symbol_at(left, line_number), symbol_at(right, line_number));
    const auto [at, is_new] = bpe_.merges_.emplace(key, merge);
    if (!is_new) {
      fail_input(merges_path_, ":", line_number, ": the merge '", printable(line),
                 "' stands in line ", at->second.rank, " already");
    }
  }

  int32_t symbol_at(const std::string& piece, int32_t line_number) {
    const int32_t symbol = intern(piece);
    if (symbol == kNone) {
      fail_input(merges_path_, ":", line_number, ": ", encoder_path_, " lacks the piece '",
                 printable(piece), "'; the two files do not belong together");
    }
    return symbol;
  }

  Gpt2Bpe& bpe_;
  const std::string& encoder_path_;
  const std::string& merges_path_;
  PieceIds encoder_;
  PieceIds symbols_;
};

// Buffers of one encode() call, kept from word to word.
struct Gpt2Bpe::Workspace {
  struct Node {
    int32_t symbol;  // kNone: joined into the node before it
    int32_t previous;
    int32_t next;
  };
  // Neighbours that may be merged; stale when the symbols there are no longer these.
  struct Pair {
    int32_t rank;
    int32_t left;  // node
    uint64_t key;  // its symbol and the next one's
    int32_t symbol;
    // For a heap whose front is the first pair of the lowest rank.
    bool operator<(const Pair& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  std::vector<Node> nodes;
  std::vector<Pair> heap;
  std::vector<Pair> found;  // by the merges of the current rank
};

Gpt2Bpe::Gpt2Bpe(const std::string& encoder_path, const std::string& merges_path) {
  Builder(*this, encoder_path, merges_path).build();
}

void Gpt2Bpe::encode(std::string_view text, std::vector<int32_t>& ids) const {
  const std::string valid = replace_invalid_utf8(text);
  Workspace work;
  // A word that came before is copied from where it stands in `ids`.
  std::unordered_map<std::string_view, std::pair<size_t, size_t>> seen;
  Gpt2Words words(valid);
  for (std::string_view word = words.next(); !word.empty(); word = words.next()) {
    const auto [at, is_new] = seen.try_emplace(word, ids.size(), 0);
    auto& [begin, count] = at->second;
    if (is_new) {
      encode_word(word, work, ids);
      count = ids.size() - begin;
    } else {
      for (size_t i = 0; i < count; ++i) ids.push_back(ids[begin + i]);
    }
  }
}

const std::string* Gpt2Bpe::find_bytes(int32_t id) const {
  const auto found = bytes_of_id_.find(id);
  return found == bytes_of_id_.end() ? nullptr : &found->second;
}

int32_t Gpt2Bpe::find_id(std::string_view bytes) const {
  int32_t lowest = kNone;
  for (const auto& [id, its_bytes] : bytes_of_id_) {
    if (its_bytes == bytes && (lowest == kNone || id < lowest)) lowest = id;
  }
  return lowest;
}

int64_t Gpt2Bpe::vocab_size() const {
  int64_t highest = -1;
  for (const auto& [id, bytes] : bytes_of_id_) highest = std::max<int64_t>(highest, id);
  return highest + 1;
}

const Gpt2Bpe::Merge* Gpt2Bpe::find_merge(int32_t left, int32_t right) const {
  const auto found = merges_.find(pair_key(left, right));
  return found == merges_.end() ? nullptr : &found->second;
}

void Gpt2Bpe::encode_word(std::string_view word, Workspace& work, std::vector<int32_t>& ids) const {
  const int32_t size = static_cast<int32_t>(word.size());
  work.nodes.clear();
  for (int32_t i = 0; i < size; ++i) {
    work.nodes.push_back(
        {static_cast<unsigned char>(word[i]), i - 1, i + 1 < size ? i + 1 : kNone});
  }
  work.found.clear();
  for (int32_t i = 0; i < size; ++i) push_pair(i, work);
  work.heap = work.found;
  std::make_heap(work.heap.begin(), work.heap.end());
  while (!work.heap.empty()) merge_rank(work.heap.front().rank, work);
  for (int32_t i = 0; i != kNone; i = work.nodes[i].next) {
    ids.push_back(id_of_symbol_[work.nodes[i].symbol]);
  }
}

void Gpt2Bpe::push_pair(int32_t left, Workspace& work) const {
  if (left == kNone || work.nodes[left].next == kNone) return;
  const int32_t left_symbol = work.nodes[left].symbol;
  const int32_t right_symbol = work.nodes[work.nodes[left].next].symbol;
  const Merge* merge = find_merge(left_symbol, right_symbol);
  if (merge == nullptr) return;
  work.found.push_back({merge->rank, left, pair_key(left_symbol, right_symbol), merge->symbol});
}

// Joins every occurrence of the pair of this rank before any pair that arises from it is looked at,
// as the reference's pass over the word does; this matters for merges that are not in the order in
// which they were learnt.
void Gpt2Bpe::merge_rank(int32_t rank, Workspace& work) const {
  auto& nodes = work.nodes;
  work.found.clear();
  while (!work.heap.empty() && work.heap.front().rank == rank) {
    std::pop_heap(work.heap.begin(), work.heap.end());
    const Workspace::Pair pair = work.heap.back();
    work.heap.pop_back();
    const int32_t next = nodes[pair.left].next;
    const bool is_stale = nodes[pair.left].symbol == kNone || next == kNone ||
                          pair_key(nodes[pair.left].symbol, nodes[next].symbol) != pair.key;
    if (is_stale) continue;
    nodes[pair.left].symbol = pair.symbol;
    nodes[pair.left].next = nodes[next].next;
    nodes[next].symbol = kNone;
    if (nodes[next].next != kNone) nodes[nodes[next].next].previous = pair.left;
    push_pair(nodes[pair.left].previous, work);
    push_pair(pair.left, work);
  }
  for (const Workspace::Pair& pair : work.found) {
    work.heap.push_back(pair);
    std::push_heap(work.heap.begin(), work.heap.end());
  }
}

}  // namespace switchyard
