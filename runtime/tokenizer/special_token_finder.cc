#include "runtime/tokenizer/special_token_finder.h"

namespace switchyard {
namespace {

std::vector<PrefixIndex::Entry> to_entries(const std::vector<AddedToken>& tokens) {
  std::vector<PrefixIndex::Entry> entries;
  for (const AddedToken& token : tokens) entries.push_back({token.content, token.id});
  return entries;
}

}  // namespace

SpecialTokenFinder::SpecialTokenFinder(const std::vector<AddedToken>& tokens)
    : names_(to_entries(tokens)) {}

std::optional<SpecialTokenFinder::Found> SpecialTokenFinder::find(std::string_view text,
                                                                  size_t from) const {
  for (size_t at = from; at < text.size(); ++at) {
    std::optional<Found> longest;
    names_.for_each_prefix(text.substr(at), [&](size_t length, int32_t id) {
      longest = Found{at, at + length, id};
    });
    if (longest) return longest;
  }
  return std::nullopt;
}

}  // namespace switchyard
