#include "runtime/checkpoint/fairseq_flat.h"

#include <set>

#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_names.h"
#include "runtime/checkpoint/torch_values.h"

namespace switchyard {
namespace {

/// Names in one file's metadata; the largest released model has 40,000 parameters.
constexpr size_t kMaxNames = size_t{1} << 20;
/// Entries of one of its dictionaries that are looked into; they have five.
constexpr size_t kMaxEntries = 100;
/// Bytes of one name with its path: short against what a file may repeat by reference.
constexpr size_t kMaxNameBytes = 1024;
constexpr int64_t kMaxElements = int64_t{1} << 56;

std::string join_names(const std::string& path, std::string_view name) {
  return without_wrappers(path.empty() ? std::string(name) : concat(path, ".", name));
}

/// Reads `param_metadata`: a list of {fsdp_path, params: {name of a flat tensor: {names, shapes,
/// numels, padding}}, no_broadcast_optim_state}, one for every module that was sharded by itself.
class MetadataParser {
 public:
  MetadataParser(const Pickle& pickle, const std::string& file, std::set<std::string> stored)
      : pickle_(pickle), file_(file), stored_(std::move(stored)) {}

  std::vector<FlatParameter> parse();

 private:
  [[noreturn]] void fail(const std::string& problem) const { fail_input(where_, problem); }
  PickleId metadata() const;
  /// The value of `key`, which must be there.
  PickleId need(PickleId dict, const char* key) const;
  const std::vector<PickleId>& list(PickleId id, const char* what) const;
  std::string_view text(PickleId id, const char* what) const;
  bool flag(PickleId dict, const char* key) const;
  void count_names(size_t names);
  void parse_module(PickleId module);
  void parse_flat(const std::string& path, PickleId parts, FlatParameter& flat);

  const Pickle& pickle_;
  const std::string& file_;
  const std::set<std::string> stored_;  // flat tensors of the file
  std::set<std::string> described_;     // those found so far
  std::string where_;
  size_t num_seen_ = 0;  // names of all kinds
  std::vector<FlatParameter> found_;
};

PickleId MetadataParser::metadata() const {
  for (const char* key : {"shard_metadata", "fsdp_metadata"}) {
    const PickleId id = pickle_.find(pickle_.root(), key);
    if (id != kNoPickleId && pickle_[id].kind == PickleKind::kDict) return id;
  }
  fail_input(file_, ": tensor '", printable(*stored_.begin()),
             "' is flat, but there is no dictionary 'shard_metadata' or 'fsdp_metadata' that says "
             "what it is made of");
}

PickleId MetadataParser::need(PickleId dict, const char* key) const {
  if (pickle_[dict].items.size() > 2 * kMaxEntries) {
    fail(concat("expected a few entries, found ", pickle_.describe(dict)));
  }
  const PickleId id = pickle_.find(dict, key);
  if (id == kNoPickleId) fail(concat("has no '", key, "'"));
  return id;
}

const std::vector<PickleId>& MetadataParser::list(PickleId id, const char* what) const {
  const PickleKind kind = pickle_[id].kind;
  if (kind != PickleKind::kList && kind != PickleKind::kTuple) {
    fail(concat("'", what, "' is ", pickle_.describe(id), "; expected a list"));
  }
  return pickle_[id].items;
}

std::string_view MetadataParser::text(PickleId id, const char* what) const {
  if (pickle_[id].kind != PickleKind::kString) {
    fail(concat("'", what, "' has ", pickle_.describe(id), "; expected a name"));
  }
  return pickle_[id].text;
}

bool MetadataParser::flag(PickleId dict, const char* key) const {
  const PickleId id = pickle_.find(dict, key);
  if (id == kNoPickleId) return false;
  if (pickle_[id].kind != PickleKind::kBool) {
    fail(concat("'", key, "' is ", pickle_.describe(id), "; expected True or False"));
  }
  return pickle_[id].integer != 0;
}

void MetadataParser::count_names(size_t names) {
  num_seen_ += names;
  if (num_seen_ > kMaxNames) fail(concat("more than ", kMaxNames, " names are described"));
}

std::vector<FlatParameter> MetadataParser::parse() {
  where_ = file_ + ": the metadata of its shards: ";
  const PickleId modules = need(metadata(), "param_metadata");
  for (const PickleId module : list(modules, "param_metadata")) parse_module(module);
  for (const std::string& name : stored_) {
    if (described_.count(name) > 0) continue;
    fail_input(file_, ": tensor '", printable(name),
               "' is flat, but the metadata of the shards does not describe it");
  }
  return std::move(found_);
}

void MetadataParser::parse_module(PickleId module) {
  where_ = file_ + ": the metadata of its shards: ";
  const std::string path(text(need(module, "fsdp_path"), "fsdp_path"));
  const PickleId params = need(module, "params");
  if (pickle_[params].kind != PickleKind::kDict) {
    fail(concat("'params' is ", pickle_.describe(params), "; expected a dictionary"));
  }
  const bool own = flag(module, "no_broadcast_optim_state");
  const std::vector<PickleId>& items = pickle_[params].items;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    FlatParameter flat;
    flat.name = join_names(path, text(items[i], "params"));
    count_names(1);
    // The metadata tells of all modules of the model, a file holds some.
    if (stored_.count(flat.name) == 0) continue;
    if (!described_.insert(flat.name).second) {
      fail(concat("'", printable(flat.name), "' is described twice"));
    }
    where_ = concat(file_, ": the metadata of '", printable(flat.name), "': ");
    flat.spread = own ? FlatSpread::kOwnShard : FlatSpread::kAllShards;
    parse_flat(path, items[i + 1], flat);
    found_.push_back(std::move(flat));
  }
}

void MetadataParser::parse_flat(const std::string& path, PickleId parts, FlatParameter& flat) {
  const std::vector<PickleId>& names = list(need(parts, "names"), "names");
  const std::vector<PickleId>& shapes = list(need(parts, "shapes"), "shapes");
  const std::vector<PickleId>& numels = list(need(parts, "numels"), "numels");
  if (names.size() != shapes.size() || names.size() != numels.size()) {
    fail(concat("has ", names.size(), " names, ", shapes.size(), " shapes and ", numels.size(),
                " numels"));
  }
  count_names(names.size());
  flat.padding = parse_count(pickle_, need(parts, "padding"), where_, "'padding'");
  std::set<std::string> seen;
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string_view own_name = text(names[i], "names");
    if (path.size() + own_name.size() > kMaxNameBytes) {
      fail(concat("a name has ", path.size() + own_name.size(), " bytes; at most ", kMaxNameBytes,
                  " are read"));
    }
    flat.names.push_back(join_names(path, own_name));
    const std::string& name = flat.names.back();
    if (!seen.insert(name).second) fail(concat("'", printable(name), "' stands twice"));
    flat.shapes.push_back(parse_sizes(pickle_, shapes[i], where_, "a shape"));
    const int64_t numel = parse_count(pickle_, numels[i], where_, "a numel");
    __int128 product = 1;
    for (const int64_t size : flat.shapes.back()) {
      product = product > kMaxElements ? product : product * size;
    }
    if (product != numel || numel > kMaxElements) {
      fail(concat("'", printable(name), "' has the numel ", numel,
                  ", which is not the product of its sizes"));
    }
  }
}

}  // namespace

bool is_flat_name(std::string_view name) {
  const size_t dot = name.rfind('.');
  const std::string_view last = dot == std::string_view::npos ? name : name.substr(dot + 1);
  return last == "flat_param" || last.starts_with("flat_param_");
}

std::vector<FlatParameter> read_flat_parameters(const Pickle& pickle, const std::string& file,
                                                const std::vector<TorchTensor>& tensors) {
  std::set<std::string> stored;
  for (const TorchTensor& tensor : tensors) {
    if (is_flat_name(tensor.name)) stored.insert(without_wrappers(tensor.name));
  }
  if (stored.empty()) return {};
  return MetadataParser(pickle, file, std::move(stored)).parse();
}

}  // namespace switchyard
