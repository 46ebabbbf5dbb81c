#include "runtime/checkpoint/fairseq_files.h"

#include <charconv>
#include <filesystem>
#include <iterator>
#include <map>
#include <string_view>
#include <system_error>

#include "kernels/base/error.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// The file names that share a stem.
struct FileSet {
  std::map<int64_t, std::string> whole;                     // by shard; -1: the plain name
  std::map<int64_t, std::string> shared;                    // likewise
  std::map<int64_t, std::map<int64_t, std::string>> ranks;  // by rank, then shard
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
void classify(const std::string& name, std::map<std::string, FileSet>& sets) {
  constexpr std::string_view kShared = "-shared";
  std::string_view base = name;
  int64_t shard = 0;
  if (!split_number(name, "-shard", base, shard)) {
    base = name;
    shard = -1;
  }
  std::string_view stem;
  int64_t rank = 0;
  const std::string file = name + ".pt";
  if (split_number(base, "-rank-", stem, rank)) {
    sets[std::string(stem)].ranks[rank][shard] = file;
  } else if (base.ends_with(kShared)) {
    base.remove_suffix(kShared.size());
    sets[std::string(base)].shared[shard] = file;
  } else {
    sets[std::string(base)].whole[shard] = file;
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
      classify(name.substr(0, name.size() - 3), sets);
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

/// The files of the ranks, which must be numbered without a gap and stand there once each.
void add_ranks(const fs::path& base, const FileSet& set, std::vector<FairseqFile>& files) {
  int64_t expected = 0;
  for (const auto& [rank, names] : set.ranks) {
    const auto& [shard, name] = *names.begin();
    const std::string path = (base.parent_path() / name).string();
    if (rank != expected) {
      fail_input(base.string(), "-rank-", expected, ".pt: is missing, but ", name,
                 " is there; the files must be numbered from 0 without a gap");
    }
    if (names.size() > 1) {
      fail_input(path, ": rank ", rank, " stands there twice, in ",
                 std::next(names.begin())->second,
                 " too; keep the one that belongs to the checkpoint");
    }
    files.push_back({path, FairseqFileRole::kRank, rank, shard});
    ++expected;
  }
}

}  // namespace

std::vector<FairseqFile> find_fairseq_files(const std::string& directory) {
  const std::map<std::string, FileSet> sets = list_sets(directory);
  const std::string& stem = choose_stem(directory, sets);
  const FileSet& set = sets.at(stem);
  const fs::path base = fs::path(directory) / stem;
  const bool parts = !set.shared.empty() || !set.ranks.empty();
  if (!set.whole.empty() && parts) {
    fail_input(
        (base.parent_path() / set.whole.begin()->second).string(), ": stands beside ",
        set.shared.empty() ? set.ranks.begin()->second.begin()->second : set.shared.begin()->second,
        "; keep either the whole checkpoint or the files of the ranks");
  }
  if (parts && set.shared.empty()) {
    fail_input(base.string(), "-shared.pt: is missing, but ",
               set.ranks.begin()->second.begin()->second, " is there");
  }
  if (parts && set.ranks.empty()) {
    fail_input(base.string(), "-rank-0.pt: is missing, but ", set.shared.begin()->second,
               " is there");
  }
  std::vector<FairseqFile> files;
  for (const auto& [shard, name] : parts ? set.shared : set.whole) {
    files.push_back({(base.parent_path() / name).string(),
                     parts ? FairseqFileRole::kShared : FairseqFileRole::kWhole, -1, shard});
  }
  add_ranks(base, set, files);
  return files;
}

}  // namespace switchyard
