#include "runtime/tokenizer/special_token_finder.h"

#include <functional>
#include <set>

namespace switchyard {

SpecialTokenFinder::SpecialTokenFinder(const std::vector<AddedToken>& tokens) {
  std::set<char> first_bytes;
  std::set<size_t, std::greater<>> lengths;
  for (const AddedToken& token : tokens) {
    ids_.emplace(token.content, token.id);
    first_bytes.insert(token.content.front());
    lengths.insert(token.content.size());
  }
  first_bytes_.assign(first_bytes.begin(), first_bytes.end());
  lengths_.assign(lengths.begin(), lengths.end());
}

std::optional<SpecialTokenFinder::Found> SpecialTokenFinder::find(std::string_view text,
                                                                  size_t from) const {
  for (size_t at = text.find_first_of(first_bytes_, from); at != text.npos;
       at = text.find_first_of(first_bytes_, at + 1)) {
    for (const size_t length : lengths_) {
      if (length > text.size() - at) continue;
      const auto found = ids_.find(std::string(text.substr(at, length)));
      if (found != ids_.end()) return Found{at, at + length, found->second};
    }
  }
  return std::nullopt;
}

}  // namespace switchyard
