#include "runtime/checkpoint/fairseq_files.h"

#include <charconv>
#include <filesystem>
#include <map>
#include <string_view>
#include <system_error>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// The files that share a stem.
struct FileSet {
  bool whole = false;
  bool shared = false;
  std::map<int64_t, std::string> ranks;  // number -> file name
  std::string sharded;                   // a file of a training with sharded state, if any
};

/// The number that is all of `text`, as a program writes it (no sign, no leading zero), or -1.
int64_t plain_number(std::string_view text) {
  constexpr size_t kMostDigits = 9;
  if (text.empty() || text.size() > kMostDigits || (text[0] == '0' && text.size() > 1)) return -1;
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  return result.ec == std::errc() && result.ptr == end && text[0] != '-' ? value : -1;
}

/// Splits "STEM<separator>NUMBER"; false if `name` is not of that form.
bool split_number(std::string_view name, std::string_view separator, std::string_view& stem,
                  int64_t& number) {
  const size_t at = name.rfind(separator);
  if (at == std::string_view::npos) return false;
  number = plain_number(name.substr(at + separator.size()));
  stem = name.substr(0, at);
  return number >= 0;
}

/// Sorts one file name (without .pt) into the set of its stem.
void classify(std::string_view name, std::map<std::string, FileSet>& sets) {
  std::string_view stem;
  int64_t number = 0;
  if (split_number(name, "-shard", stem, number)) {
    std::string_view inner;
    int64_t rank = 0;
    if (stem.ends_with("-shared")) stem.remove_suffix(7);
    if (split_number(stem, "-rank-", inner, rank)) stem = inner;
    sets[std::string(stem)].sharded = std::string(name) + ".pt";
  } else if (split_number(name, "-rank-", stem, number)) {
    sets[std::string(stem)].ranks[number] = std::string(name) + ".pt";
  } else if (name.ends_with("-shared")) {
    sets[std::string(name.substr(0, name.size() - 7))].shared = true;
  } else {
    sets[std::string(name)].whole = true;
  }
}

std::map<std::string, FileSet> list_sets(const std::string& directory) {
  std::error_code error;
  if (!fs::is_directory(directory, error)) {
    fail_input(directory, ": is not a folder; give the folder that holds the checkpoint's files");
  }
  std::map<std::string, FileSet> sets;
  fs::directory_iterator entry(directory, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.size() > 3 && name.ends_with(".pt")) {
      classify(std::string_view(name).substr(0, name.size() - 3), sets);
    }
  }
  if (error) fail_input(directory, ": cannot be listed: ", error.message());
  return sets;
}

const std::string& choose_stem(const std::string& directory,
                               const std::map<std::string, FileSet>& sets) {
  const auto model = sets.find("model");
  if (model != sets.end()) return model->first;
  if (sets.empty()) {
    fail_input(directory,
               ": holds no checkpoint; expected model.pt, or model-shared.pt with "
               "model-rank-0.pt and so on");
  }
  if (sets.size() > 1) {
    std::string stems;
    for (const auto& [stem, set] : sets) stems += (stems.empty() ? "" : ", ") + stem;
    fail_input(directory, ": holds several checkpoints (", stems,
               "); leave one in the folder or name it model");
  }
  return sets.begin()->first;
}

void check_ranks(const std::string& base, const FileSet& set) {
  int64_t expected = 0;
  for (const auto& [number, name] : set.ranks) {
    if (number != expected) {
      fail_input(base, "-rank-", expected, ".pt: is missing, but ", name,
                 " is there; the files must be numbered from 0 without a gap");
    }
    ++expected;
  }
}

}  // namespace

std::vector<FairseqFile> find_fairseq_files(const std::string& directory) {
  const std::map<std::string, FileSet> sets = list_sets(directory);
  const std::string& stem = choose_stem(directory, sets);
  const FileSet& set = sets.at(stem);
  const std::string base = (fs::path(directory) / stem).string();
  const bool sharded_only = !set.sharded.empty() && !set.whole && !set.shared && set.ranks.empty();
  if (sharded_only) {
    fail_input((fs::path(directory) / set.sharded).string(),
               ": files of a training with sharded state are not supported yet; consolidate them");
  }
  if (set.whole && (set.shared || !set.ranks.empty())) {
    fail_input(base, ".pt: stands beside ", stem, "-", set.shared ? "shared" : "rank-0",
               ".pt; keep either the single file or the files of the ranks");
  }
  if (set.whole) return {{base + ".pt", FairseqFileRole::kWhole}};
  if (!set.shared) {
    fail_input(base, "-shared.pt: is missing, but ", set.ranks.begin()->second, " is there");
  }
  if (set.ranks.empty()) {
    fail_input(base, "-rank-0.pt: is missing, but ", stem, "-shared.pt is there");
  }
  check_ranks(base, set);
  std::vector<FairseqFile> files = {{base + "-shared.pt", FairseqFileRole::kShared}};
  for (const auto& [number, name] : set.ranks) {
    files.push_back({concat(base, "-rank-", number, ".pt"), FairseqFileRole::kRank});
  }
  return files;
}

}  // namespace switchyard
