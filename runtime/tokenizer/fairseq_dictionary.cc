#include "runtime/tokenizer/fairseq_dictionary.h"
#include "runtime/checkpoint/random_file.h"

#include <algorithm>
#include <cstdio>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "runtime/tokenizer/text_file.h"

namespace switchyard {
namespace {

constexpr char kHelp[] = "dict.txt lists the model's symbols; name another with --dict FILE";
constexpr std::string_view kOverwriteFlag = "#fairseq:overwrite";

std::string_view strip_right(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n\v\f");
  return text.substr(0, last == text.npos ? 0 : last + 1);
}

bool is_integer(std::string_view text) {
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  return !text.empty() && text.find_first_not_of("0123456789") == text.npos;
}

enum class OnDuplicate { kError, kOverwrite };

struct DictionaryLine {
  std::string_view symbol;
  OnDuplicate on_duplicate = OnDuplicate::kError;
};

DictionaryLine parse_line(std::string_view line, int64_t line_number, const std::string& path) {
  DictionaryLine result;
  std::string_view rest = strip_right(line);
  size_t space = rest.rfind(' ');
  if (space != rest.npos && rest.substr(space + 1) == kOverwriteFlag) {
    result.on_duplicate = OnDuplicate::kOverwrite;
    rest = rest.substr(0, space);
    space = rest.rfind(' ');
  }
  if (space == rest.npos || space == 0 || !is_integer(rest.substr(space + 1))) {
    fail_input(path, ":", line_number, ": expected '<symbol> <count>', found '",
               printable(line.substr(0, 80)), "'; ", kHelp);
  }
  result.symbol = rest.substr(0, space);
  return result;
}

}  // namespace

FairseqDictionary::FairseqDictionary(const std::string& path,
                                     std::optional<int64_t> embedding_rows) {
  for (const char* special : {"<s>", "<pad>", "</s>", "<unk>"}) {
    ids_.emplace(special, static_cast<int32_t>(symbols_.size()));
    symbols_.emplace_back(special);
  }
  const std::string text = read_text_file(path, kHelp);
  int64_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    add_line(std::string_view(text).substr(begin, end - begin), ++line_number, path);
    begin = end + 1;
  }
  if (!embedding_rows) return;
  if (size() > *embedding_rows) {
    fail_input(path, " has ", line_number, " lines, with the 4 special symbols ", size(),
               " ids, but the model has ", *embedding_rows,
               " embedding rows: it belongs to another model; ", kHelp);
  }
  if (size() < *embedding_rows) pad(path, *embedding_rows);
}

void FairseqDictionary::add_line(std::string_view line, int64_t line_number,
                                 const std::string& path) {
  const DictionaryLine parsed = parse_line(line, line_number, path);
  const int32_t id = static_cast<int32_t>(symbols_.size());
  const auto [at, is_new] = ids_.emplace(parsed.symbol, id);
  if (!is_new && parsed.on_duplicate == OnDuplicate::kError) {
    const int32_t first = at->second;
    const std::string where =
        first < FairseqIds::kCount
            ? "is one of the special symbols"
            : concat("stands in line ", first - FairseqIds::kCount + 1, " already (",
                     kOverwriteFlag, " at the line's end allows it)");
    fail_input(path, ":", line_number, ": the symbol '", printable(parsed.symbol), "' ", where);
  }
  at->second = id;
  symbols_.emplace_back(parsed.symbol);
}

void FairseqDictionary::pad(const std::string& path, int64_t embedding_rows) {
  // The released models fill up to a multiple of 1024.
  constexpr int64_t kMostPadding = 1024;
  if (embedding_rows - size() >= kMostPadding) {
    fail_input(path, " lists ", size(),
               " ids (its lines and the 4 special symbols), but the model ", "has ", embedding_rows,
               " embedding rows: it is cut off or belongs to another model; ", kHelp);
  }
  log_warning(path, " lists ", size(), " ids (its lines and the 4 special symbols), the model has ",
              embedding_rows, " embedding rows; the ids from ", size(), " to ", embedding_rows - 1,
              " are taken for padding");
  for (int number = 0; size() < embedding_rows; ++number) {
    char name[32];
    std::snprintf(name, sizeof name, "madeupword%04d", number);
    if (ids_.emplace(name, static_cast<int32_t>(symbols_.size())).second) {
      symbols_.emplace_back(name);
    }
  }
}

int32_t FairseqDictionary::id_of(std::string_view symbol) const {
  const auto found = ids_.find(std::string(symbol));
  return found == ids_.end() ? FairseqIds::kUnk : found->second;
}

}  // namespace switchyard
