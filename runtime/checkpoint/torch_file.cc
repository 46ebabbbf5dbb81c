#include "runtime/checkpoint/torch_file.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/zip_reader.h"

namespace switchyard {
namespace {

/// Most dimensions of a tensor that is read; models use two, views of other tools up to five.
constexpr size_t kMaxRank = 8;

struct StorageType {
  std::string_view name;
  int64_t item_bytes;
  TensorSupport support;
  DType dtype;
};

constexpr StorageType kStorageTypes[] = {
    {"FloatStorage", 4, TensorSupport::kReadable, DType::kF32},
    {"HalfStorage", 2, TensorSupport::kReadable, DType::kF16},
    {"BFloat16Storage", 2, TensorSupport::kReadable, DType::kBF16},
    {"LongStorage", 8, TensorSupport::kReadable, DType::kI64},
    {"IntStorage", 4, TensorSupport::kReadable, DType::kI32},
    {"ByteStorage", 1, TensorSupport::kReadable, DType::kU8},
    {"BoolStorage", 1, TensorSupport::kReadable, DType::kU8},
    {"CharStorage", 1, TensorSupport::kUnknownType, DType::kU8},
    {"ShortStorage", 2, TensorSupport::kUnknownType, DType::kU8},
    {"DoubleStorage", 8, TensorSupport::kUnknownType, DType::kU8},
    {"ComplexFloatStorage", 8, TensorSupport::kUnknownType, DType::kU8},
    {"ComplexDoubleStorage", 16, TensorSupport::kUnknownType, DType::kU8},
};

/// Turns nodes of the object tree into tensors.
class TensorParser {
 public:
  TensorParser(const RandomFile& file, const ZipReader& zip, std::string root, const Pickle& pickle)
      : file_(file), zip_(zip), root_(std::move(root)), pickle_(pickle) {}

  std::vector<TorchTensor> parse_model();

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    fail_input(file_.path(), ": tensor '", printable(name_), "': ", problem);
  }
  const std::vector<PickleId>& arguments(PickleId call) const;
  PickleId unwrap_parameter(PickleId value) const;
  int64_t integer(PickleId id, const char* what) const;
  std::vector<int64_t> integers(PickleId id, const char* what) const;
  TorchTensor parse_tensor(PickleId value) const;
  const StorageType& storage_type(PickleId id) const;
  /// Fills type, file offset and checksum of the storage; returns its number of elements.
  int64_t parse_storage(PickleId id, TorchTensor& tensor, int64_t& item_bytes) const;
  void check_extent(const TensorEntry& entry, int64_t first, int64_t num_elements) const;

  const RandomFile& file_;
  const ZipReader& zip_;
  const std::string root_;
  const Pickle& pickle_;
  std::string name_;
};

std::vector<TorchTensor> TensorParser::parse_model() {
  const PickleNode& top = pickle_[pickle_.root()];
  const PickleId model = pickle_.find(pickle_.root(), "model");
  if (top.kind != PickleKind::kDict || model == kNoPickleId ||
      pickle_[model].kind != PickleKind::kDict) {
    fail_input(file_.path(),
               ": expected a dictionary with the entry 'model', a dictionary of "
               "tensors; found ",
               pickle_.describe(pickle_.root()),
               top.kind == PickleKind::kDict
                   ? concat(", whose 'model' is ", pickle_.describe(model))
                   : "");
  }
  std::vector<TorchTensor> tensors;
  std::set<std::string> names;
  const std::vector<PickleId>& items = pickle_[model].items;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const PickleNode& key = pickle_[items[i]];
    if (key.kind != PickleKind::kString) {
      fail_input(file_.path(), ": a key of 'model' is ", pickle_.describe(items[i]),
                 "; expected a tensor's name");
    }
    name_ = std::string(key.text);
    if (!names.insert(name_).second) fail("stands twice in 'model'");
    tensors.push_back(parse_tensor(items[i + 1]));
  }
  return tensors;
}

const std::vector<PickleId>& TensorParser::arguments(PickleId call) const {
  const PickleNode& node = pickle_[pickle_[call].arguments];
  if (node.kind != PickleKind::kTuple) fail("a call whose arguments are no tuple");
  return node.items;
}

PickleId TensorParser::unwrap_parameter(PickleId value) const {
  const PickleNode& node = pickle_[value];
  if (node.kind != PickleKind::kCall ||
      !pickle_.is_global(node.callable, "torch._utils", "_rebuild_parameter")) {
    return value;
  }
  const std::vector<PickleId>& parts = arguments(value);
  if (parts.empty()) fail("a parameter without its tensor");
  return parts[0];
}

int64_t TensorParser::integer(PickleId id, const char* what) const {
  const PickleNode& node = pickle_[id];
  if (node.kind != PickleKind::kInt || node.integer < 0) {
    fail(concat(what, " is ", pickle_.describe(id), "; expected a number from 0 up"));
  }
  return node.integer;
}

std::vector<int64_t> TensorParser::integers(PickleId id, const char* what) const {
  if (pickle_[id].kind == PickleKind::kCall &&
      pickle_.is_global(pickle_[id].callable, "torch", "Size") && arguments(id).size() == 1) {
    id = arguments(id)[0];
  }
  const PickleNode& node = pickle_[id];
  if (node.kind != PickleKind::kTuple || node.items.size() > kMaxRank) {
    fail(concat(what, " is ", pickle_.describe(id), "; expected a tuple of at most ", kMaxRank));
  }
  std::vector<int64_t> values;
  for (const PickleId item : node.items) values.push_back(integer(item, what));
  return values;
}

TorchTensor TensorParser::parse_tensor(PickleId value) const {
  value = unwrap_parameter(value);
  const PickleNode& node = pickle_[value];
  if (node.kind != PickleKind::kCall ||
      !pickle_.is_global(node.callable, "torch._utils", "_rebuild_tensor_v2")) {
    fail(concat("expected a tensor, found ", pickle_.describe(value)));
  }
  // (storage, offset, shape, strides, requires_grad, hooks, ...); offset and strides in elements.
  const std::vector<PickleId>& parts = arguments(value);
  if (parts.size() < 4) fail(concat("a tensor described by ", parts.size(), " values"));
  TorchTensor tensor;
  tensor.name = name_;
  int64_t item_bytes = 0;
  const int64_t num_elements = parse_storage(parts[0], tensor, item_bytes);
  const int64_t first = integer(parts[1], "its offset");
  tensor.entry.shape = integers(parts[2], "its shape");
  tensor.entry.strides = integers(parts[3], "its strides");
  check_extent(tensor.entry, first, num_elements);
  tensor.storage_first = first;
  tensor.entry.offset += first * item_bytes;
  return tensor;
}

const StorageType& TensorParser::storage_type(PickleId id) const {
  const PickleNode& node = pickle_[id];
  if (node.kind == PickleKind::kGlobal && (node.text == "torch" || node.text == "torch.cuda")) {
    for (const StorageType& type : kStorageTypes) {
      if (type.name == node.name) return type;
    }
  }
  fail(concat("its storage has the unknown type ", pickle_.describe(id)));
}

int64_t TensorParser::parse_storage(PickleId id, TorchTensor& tensor, int64_t& item_bytes) const {
  const PickleNode& node = pickle_[id];
  if (node.kind != PickleKind::kPersistent) {
    fail(concat("its storage is ", pickle_.describe(id)));
  }
  // ('storage', type, key, location, number of elements[, view]); the location is where the
  // writer's memory was and means nothing here.
  const PickleNode& parts = pickle_[node.items[0]];
  if (parts.kind != PickleKind::kTuple || parts.items.size() < 5 ||
      pickle_[parts.items[0]].text != "storage" ||
      pickle_[parts.items[2]].kind != PickleKind::kString) {
    fail(concat("its storage is described by ", pickle_.describe(node.items[0])));
  }
  const StorageType& type = storage_type(parts.items[1]);
  const std::string key(pickle_[parts.items[2]].text);
  const int64_t num_elements = integer(parts.items[4], "the size of its storage");
  const ZipEntry* entry = zip_.find(root_ + "data/" + key);
  if (entry == nullptr) {
    fail(concat("its storage '", printable(root_), "data/", printable(key),
                "' is missing in the archive"));
  }
  if (entry->size % type.item_bytes != 0 || entry->size / type.item_bytes != num_elements) {
    fail(concat("its storage '", printable(entry->name), "' has ", entry->size, " bytes; expected ",
                num_elements, " elements of ", type.item_bytes, " bytes"));
  }
  tensor.support = type.support;
  tensor.storage_type = std::string(type.name);
  tensor.storage_crc32 = entry->crc32;
  tensor.entry.dtype = type.dtype;
  tensor.entry.offset = entry->offset;
  item_bytes = type.item_bytes;
  return num_elements;
}

void TensorParser::check_extent(const TensorEntry& entry, int64_t first,
                                int64_t num_elements) const {
  if (entry.shape.size() != entry.strides.size()) {
    fail(concat(entry.shape.size(), " sizes but ", entry.strides.size(), " strides"));
  }
  const std::string beyond = concat("it reaches beyond its storage of ", num_elements, " elements");
  const bool empty = std::count(entry.shape.begin(), entry.shape.end(), 0) > 0;
  if (empty ? first > num_elements : first >= num_elements) fail(beyond);
  // Each product of two 63-bit numbers fits 128 bits, and what it is added to is below 2^63.
  __int128 last = first;
  __int128 count = 1;
  for (size_t i = 0; i < entry.shape.size() && !empty; ++i) {
    last += static_cast<__int128>(entry.shape[i] - 1) * entry.strides[i];
    count *= entry.shape[i];
    if (last >= num_elements) fail(beyond);
    if (count > int64_t{1} << 56) fail("its sizes multiply to more elements than can be counted");
  }
}

/// The folder all entries of the archive lie in, with its slash.
std::string archive_root(const RandomFile& file, const ZipReader& zip) {
  const std::string first = zip.entries().empty() ? "" : zip.entries()[0].name;
  const size_t slash = first.find('/');
  if (slash == std::string::npos) {
    fail_input(file.path(), ": a zip archive, but not one of torch.save: its first entry is '",
               printable(first), "'");
  }
  return first.substr(0, slash + 1);
}

void check_archive(const RandomFile& file, const ZipReader& zip, const std::string& root) {
  if (zip.find(root + "constants.pkl") != nullptr) {
    fail_input(file.path(), ": is a TorchScript program; expected a checkpoint of torch.save");
  }
  if (zip.find(root + "data.pkl") == nullptr) {
    fail_input(file.path(), ": a zip archive, but not one of torch.save: it has no '",
               printable(root), "data.pkl'");
  }
  const ZipEntry* order = zip.find(root + "byteorder");
  if (order == nullptr) return;  // writers before torch 2.1 were little-endian
  const std::vector<char> text = zip.read(*order, 16);
  if (std::string_view(text.data(), text.size()) != "little") {
    fail_input(file.path(), ": its byte order is '", printable({text.data(), text.size()}),
               "'; only 'little' is supported");
  }
}

/// Refuses what is not a zip archive, by what it looks like.
void check_container(RandomFile& file) {
  constexpr std::string_view kZip = "PK\x03\x04";
  // The first pickle of the older container: protocol 2, the number 0x1950a86a20f9469cfc6c.
  constexpr std::string_view kLegacy = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
  if (file.size() == 0) {
    fail_input(file.path(), ": the file is empty; fetch or save the checkpoint again");
  }
  char start[kLegacy.size()] = {};
  const int64_t length = std::min<int64_t>(file.size(), sizeof(start));
  file.read_at(0, length, start, "the start of the file");
  const std::string_view text(start, static_cast<size_t>(length));
  if (text.starts_with(kZip)) return;
  if (text == kLegacy) {
    fail_input(file.path(),
               ": is in the legacy torch container (before torch 1.6), which is not "
               "supported yet; load it with torch and save it again with torch.save(obj, path)");
  }
  fail_input(file.path(), ": is not a torch checkpoint: it starts with '", printable(text),
             "'; expected a zip archive written by torch.save");
}

}  // namespace

TorchFile read_torch_file(RandomFile& file) {
  check_container(file);
  const ZipReader zip(file);
  const std::string root = archive_root(file, zip);
  check_archive(file, zip, root);
  const PickleLimits limits;
  std::vector<char> bytes =
      zip.read(*zip.find(root + "data.pkl"), static_cast<int64_t>(limits.max_bytes));
  TorchFile result{Pickle::parse(std::move(bytes), file.path() + ": data.pkl", limits), {}};
  result.tensors = TensorParser(file, zip, root, result.pickle).parse_model();
  return result;
}

}  // namespace switchyard
