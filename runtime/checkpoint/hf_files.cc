#include "runtime/checkpoint/hf_files.h"

#include <algorithm>
#include <boost/json.hpp>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/untrusted_json.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;
/// An entry takes about 100 bytes; the largest models have some 200,000 tensors.
constexpr int64_t kMaxIndexBytes = int64_t{128} << 20;

struct WeightNames {
  HfWeightFormat format;
  std::string_view stem;
  std::string_view extension;

  std::string single() const { return concat(stem, extension); }
  std::string index() const { return concat(stem, extension, ".index.json"); }
};

constexpr WeightNames kWeightNames[] = {{HfWeightFormat::kSafetensors, "model", ".safetensors"},
                                        {HfWeightFormat::kTorch, "pytorch_model", ".bin"}};

/// Is `name` STEM-00001-of-00003EXTENSION?
bool is_shard(std::string_view name, const WeightNames& names) {
  constexpr std::string_view kOf = "-of-";
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (!name.starts_with(names.stem) || !name.ends_with(names.extension)) return false;
  if (name.size() <= names.stem.size() + names.extension.size()) return false;
  name.remove_prefix(names.stem.size());
  name.remove_suffix(names.extension.size());
  const size_t of = name.find(kOf);
  return name[0] == '-' && of != std::string_view::npos && of > 0 &&
         is_number(name.substr(1, of - 1)) && is_number(name.substr(of + kOf.size()));
}

/// Opens the files of one folder.
class Folder {
 public:
  explicit Folder(const std::string& directory) : directory_(directory) {
    std::error_code error;
    if (!fs::is_directory(directory_, error)) {
      fail_input(directory, ": is not a folder; give the folder that holds the checkpoint's files");
    }
    real_ = fs::canonical(directory_, error);
    if (error) fail_input(directory, ": cannot be opened: ", error.message());
  }

  bool has(const std::string& name) const {
    std::error_code error;
    return fs::exists(fs::symlink_status(directory_ / name, error));
  }
  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  /// The path of a file that must be there and in the folder; `help` says what to do without it.
  std::string find(const std::string& name, std::string_view help) const;
  /// The contents of such a file.
  std::string read(const std::string& name, int64_t most_bytes, int64_t& bytes_read) const;
  /// The names of the folder's entries for which `is_wanted` holds, sorted.
  template <typename Filter>
  std::vector<std::string> list(Filter is_wanted) const;

 private:
  const fs::path directory_;
  fs::path real_;
};

std::string Folder::find(const std::string& name, std::string_view help) const {
  std::error_code error;
  const std::string path = this->path(name);
  const fs::path real = fs::canonical(directory_ / name, error);
  if (error) fail_input(path, ": ", error.message(), "; ", help);
  const bool in_cache = real_.parent_path().filename() == "snapshots" &&
                        real.parent_path() == real_.parent_path().parent_path() / "blobs";
  if (real.parent_path() != real_ && !in_cache) {
    fail_input(path, ": is a link to ", printable(real.string()),
               ", outside the folder; put the file itself there");
  }
  return path;
}

std::string Folder::read(const std::string& name, int64_t most_bytes, int64_t& bytes_read) const {
  RandomFile file(find(name, "put the file there"));
  if (file.size() > most_bytes) {
    fail_input(file.path(), ": has ", file.size(), " bytes; at most ", most_bytes, " are read");
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read_at(0, file.size(), text.data(), "its text");
  bytes_read += file.bytes_read();
  return text;
}

template <typename Filter>
std::vector<std::string> Folder::list(Filter is_wanted) const {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entry(directory_, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (is_wanted(name)) names.push_back(std::move(name));
  }
  if (error) fail_input(directory_.string(), ": cannot be listed: ", error.message());
  std::ranges::sort(names);
  return names;
}

/// The weight files an index names, and which tensors it says are in which.
class IndexReader {
 public:
  IndexReader(const Folder& folder, const WeightNames& names, HfFiles& files)
      : folder_(folder), names_(names), files_(files) {}

  /// Returns the names of the files, sorted.
  std::vector<std::string> read();

 private:
  std::string file_name(std::string_view tensor, const json::value& value) const;

  const Folder& folder_;
  const WeightNames& names_;
  HfFiles& files_;
};

std::string IndexReader::file_name(std::string_view tensor, const json::value& value) const {
  constexpr size_t kLongestName = 255;
  const json::string* text = value.if_string();
  const std::string name = text == nullptr ? std::string() : std::string(*text);
  const bool is_plain = !name.empty() && name.size() <= kLongestName && name[0] != '.' &&
                        std::ranges::none_of(name, [](char c) {
                          return c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20;
                        });
  if (!is_plain || !name.ends_with(names_.extension)) {
    fail_input(files_.index_path, ": says that tensor '", printable(tensor), "' is in ",
               printable(json::serialize(value)), "; expected the name of a ", names_.extension,
               " file of the same folder");
  }
  return name;
}

std::vector<std::string> IndexReader::read() {
  const std::string text = folder_.read(names_.index(), kMaxIndexBytes, files_.bytes_read);
  const json::value top = parse_untrusted_json(text, files_.index_path);
  const json::object* object = top.if_object();
  const json::value* map = object == nullptr ? nullptr : object->if_contains("weight_map");
  const json::object* entries = map == nullptr ? nullptr : map->if_object();
  if (entries == nullptr || entries->empty()) {
    fail_input(files_.index_path,
               ": expected an object with the entry \"weight_map\", an object "
               "that gives each tensor's file");
  }
  std::map<std::string, int32_t> numbers;
  for (const auto& item : *entries) numbers[file_name(item.key(), item.value())] = 0;
  std::vector<std::string> names;
  for (auto& [name, number] : numbers) {
    number = static_cast<int32_t>(names.size());
    names.push_back(name);
  }
  for (const auto& item : *entries) {
    files_.places.emplace(item.key(), numbers.at(file_name(item.key(), item.value())));
  }
  return names;
}

[[noreturn]] void fail_without_weights(const Folder& folder, const std::string& directory) {
  for (const WeightNames& names : kWeightNames) {
    const std::vector<std::string> shards =
        folder.list([&](const std::string& name) { return is_shard(name, names); });
    if (shards.empty()) continue;
    fail_input(folder.path(names.index()), ": is missing, but ", printable(shards[0]),
               " is there; fetch the index too: it says which files the checkpoint has");
  }
  fail_input(directory, ": holds a config.json but no weights; expected ", kWeightNames[0].index(),
             " with the files it names, ", kWeightNames[0].single(), ", ", kWeightNames[1].index(),
             " or ", kWeightNames[1].single());
}

/// Of the names that files have in this folder, those that are there; null without any.
const WeightNames* find_weights(const Folder& folder) {
  for (const WeightNames& names : kWeightNames) {
    if (folder.has(names.index()) || folder.has(names.single())) return &names;
  }
  return nullptr;
}

void warn_of_others(const Folder& folder, const WeightNames& names,
                    const std::vector<std::string>& used, HfFiles& files) {
  const auto is_other = [&](const std::string& name) {
    return is_shard(name, names) && !std::ranges::binary_search(used, name);
  };
  for (const std::string& name : folder.list(is_other)) {
    files.warnings.push_back(concat(folder.path(printable(name)), " is not read: ",
                                    files.index_path.empty() ? names.single() : names.index(),
                                    files.index_path.empty() ? " is all" : " does not name it"));
  }
}

}  // namespace

bool is_hf_folder(const std::string& directory) {
  std::error_code error;
  return fs::exists(fs::path(directory) / "config.json", error);
}

HfFiles find_hf_files(const std::string& directory) {
  const Folder folder(directory);
  HfFiles files;
  files.config_path = folder.path("config.json");
  files.config_text = folder.read("config.json", kMaxConfigBytes, files.bytes_read);
  const std::string generation = "generation_config.json";
  if (folder.has(generation)) {
    files.generation_text = folder.read(generation, kMaxConfigBytes, files.bytes_read);
  }
  const WeightNames* names = find_weights(folder);
  if (names == nullptr) fail_without_weights(folder, directory);
  files.format = names->format;
  std::vector<std::string> used = {names->single()};
  std::string help = "put the file there";
  if (folder.has(names->index())) {
    files.index_path = folder.path(names->index());
    used = IndexReader(folder, *names, files).read();
    help = concat(names->index(), " names it; fetch all files of the checkpoint");
  }
  for (const std::string& name : used) files.paths.push_back(folder.find(name, help));
  warn_of_others(folder, *names, used, files);
  return files;
}

void put_hf_files(ByteWriter& writer, const HfFiles& files) {
  const auto put_strings = [&](const std::vector<std::string>& strings) {
    writer.put(static_cast<int64_t>(strings.size()));
    for (const std::string& text : strings) writer.put_string(text);
  };
  writer.put_string(files.config_path);
  writer.put_string(files.config_text);
  writer.put_string(files.generation_text);
  writer.put(files.format);
  put_strings(files.paths);
  writer.put_string(files.index_path);
  writer.put(static_cast<int64_t>(files.places.size()));
  for (const auto& [tensor, file] : files.places) {
    writer.put_string(tensor);
    writer.put(file);
  }
  put_strings(files.warnings);
}

HfFiles get_hf_files(ByteReader& reader) {
  const auto get_strings = [&] {
    std::vector<std::string> strings;
    for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
      strings.push_back(reader.get_string());
    }
    return strings;
  };
  HfFiles files;
  files.config_path = reader.get_string();
  files.config_text = reader.get_string();
  files.generation_text = reader.get_string();
  files.format = reader.get<HfWeightFormat>();
  files.paths = get_strings();
  files.index_path = reader.get_string();
  for (int64_t left = reader.get<int64_t>(); left > 0; --left) {
    std::string tensor = reader.get_string();
    files.places.emplace(std::move(tensor), reader.get<int32_t>());
  }
  files.warnings = get_strings();
  return files;
}

}  // namespace switchyard
