#include "runtime/checkpoint/torch_file.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/checkpoint/torch_container.h"
#include "runtime/checkpoint/torch_values.h"

namespace switchyard {
namespace {

/// Is this class or function one that tensors and the dictionaries around them are made with?
bool is_of_tensors(const PickleNode& global) {
  constexpr std::pair<std::string_view, std::string_view> kAllowed[] = {
      {"collections", "OrderedDict"},
      {"torch._utils", "_rebuild_tensor"},
      {"torch._utils", "_rebuild_tensor_v2"},
      {"torch._utils", "_rebuild_parameter"},
      {"torch._utils", "_rebuild_parameter_with_state"},
      {"torch._tensor", "_rebuild_from_type"},
      {"torch._tensor", "_rebuild_from_type_v2"},
      {"torch.nn.parameter", "Parameter"},
      {"torch", "Tensor"},
      {"torch", "Size"}};
  // Of a storage the parser says which tensor has it, if it does not know the type.
  const bool is_torch = global.text == "torch" || global.text.starts_with("torch.");
  if (is_torch && global.name.ends_with("Storage")) return true;
  return std::ranges::find(kAllowed, std::pair(global.text, global.name)) != std::end(kAllowed);
}

/// Turns nodes of the object tree into tensors.
class TensorParser {
 public:
  TensorParser(const RandomFile& file, const TorchContainer& container)
      : file_(file), container_(container), pickle_(container.pickle) {}

  std::vector<TorchTensor> parse(TorchLayout layout);

 private:
  [[noreturn]] void fail(const std::string& problem) const { fail_input(where_, problem); }
  PickleId model() const;
  PickleId state_dict() const;
  const std::vector<PickleId>& tuple(PickleId id, const char* what) const;
  const std::vector<PickleId>& tensor_parts(PickleId value) const;
  void check_metadata(PickleId metadata) const;
  TorchTensor parse_tensor(const std::string& name, PickleId value) const;
  TorchStorageRef parse_storage(PickleId id, TorchTensor& tensor) const;
  void check_extent(const TensorEntry& entry, int64_t first, int64_t num_elements) const;

  const RandomFile& file_;
  const TorchContainer& container_;
  const Pickle& pickle_;
  std::string where_;  // file and tensor
};

PickleId TensorParser::model() const {
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
  return model;
}

/// The outermost dictionary, after a look at everything the tree refers to: a state dict has no
/// place for other objects, whatever they are there for.
PickleId TensorParser::state_dict() const {
  for (PickleId id = 0; id < pickle_.num_nodes(); ++id) {
    const PickleNode& node = pickle_[id];
    if (node.kind != PickleKind::kGlobal || is_of_tensors(node)) continue;
    fail_input(file_.path(), ": its pickle holds ", pickle_.describe(id),
               ", which no tensor needs; nothing in it was executed; expected a state dict, saved "
               "with torch.save(model.state_dict(), path)");
  }
  if (pickle_[pickle_.root()].kind != PickleKind::kDict) {
    fail_input(file_.path(), ": expected a dictionary of tensors; found ",
               pickle_.describe(pickle_.root()));
  }
  return pickle_.root();
}

std::vector<TorchTensor> TensorParser::parse(TorchLayout layout) {
  const bool is_fairseq = layout == TorchLayout::kModelEntry;
  const char* dictionary = is_fairseq ? "'model'" : "the state dict";
  std::vector<TorchTensor> tensors;
  std::set<std::string> names;
  const std::vector<PickleId>& items = pickle_[is_fairseq ? model() : state_dict()].items;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const PickleNode& key = pickle_[items[i]];
    if (key.kind != PickleKind::kString) {
      fail_input(file_.path(), ": a key of ", dictionary, " is ", pickle_.describe(items[i]),
                 "; expected a tensor's name");
    }
    const std::string name(key.text);
    where_ = concat(file_.path(), ": tensor '", printable(name), "': ");
    if (!names.insert(name).second) fail(concat("stands twice in ", dictionary));
    tensors.push_back(parse_tensor(name, items[i + 1]));
  }
  return tensors;
}

const std::vector<PickleId>& TensorParser::tuple(PickleId id, const char* what) const {
  if (pickle_[id].kind != PickleKind::kTuple) fail(concat("a call whose ", what, " are no tuple"));
  return pickle_[id].items;
}

/// (storage, offset, shape, strides, ...) of a tensor, which may stand in wrappers: parameters, and
/// tensors with attributes of their own.
const std::vector<PickleId>& TensorParser::tensor_parts(PickleId value) const {
  constexpr int kMostWrappers = 4;
  PickleId callable = pickle_[value].callable;
  PickleId arguments = pickle_[value].arguments;
  for (int depth = 0; depth < kMostWrappers && pickle_[value].kind == PickleKind::kCall; ++depth) {
    const auto is = [&](const char* module, const char* name) {
      return pickle_.is_global(callable, module, name);
    };
    if (is("torch._utils", "_rebuild_tensor_v2") || is("torch._utils", "_rebuild_tensor")) {
      const std::vector<PickleId>& parts = tuple(arguments, "arguments");
      if (parts.size() < 4) fail(concat("a tensor described by ", parts.size(), " values"));
      return parts;
    }
    if (is("torch._utils", "_rebuild_parameter") ||
        is("torch._utils", "_rebuild_parameter_with_state")) {
      const std::vector<PickleId>& parts = tuple(arguments, "arguments");
      if (parts.empty()) fail("a parameter without its tensor");
      value = parts[0];
      callable = pickle_[value].callable;
      arguments = pickle_[value].arguments;
    } else if (is("torch._tensor", "_rebuild_from_type_v2") ||
               is("torch._tensor", "_rebuild_from_type")) {
      // (function, class, arguments, state)
      const std::vector<PickleId>& parts = tuple(arguments, "arguments");
      if (parts.size() < 3) fail("a tensor of some class without its arguments");
      callable = parts[0];
      arguments = parts[2];
    } else {
      break;
    }
  }
  fail(concat("expected a tensor, found ", pickle_.describe(value)));
}

/// Refuses what torch would do to the elements when it loads them: `metadata` says "neg" or "conj".
void TensorParser::check_metadata(PickleId metadata) const {
  if (pickle_[metadata].kind != PickleKind::kDict) return;
  for (const char* key : {"neg", "conj"}) {
    const PickleId flag = pickle_.find(metadata, key);
    if (flag == kNoPickleId || pickle_[flag].integer == 0) continue;
    fail(concat("is stored to be changed when it is loaded ('", key,
                "'); save tensor.clone() instead"));
  }
}

TorchTensor TensorParser::parse_tensor(const std::string& name, PickleId value) const {
  const std::vector<PickleId>& parts = tensor_parts(value);
  constexpr size_t kMetadata = 6;
  if (parts.size() > kMetadata) check_metadata(parts[kMetadata]);
  TorchTensor tensor;
  tensor.name = name;
  const TorchStorageRef storage = parse_storage(parts[0], tensor);
  // Offset and strides count elements.
  const int64_t first = parse_count(pickle_, parts[1], where_, "its offset");
  tensor.entry.shape = parse_sizes(pickle_, parts[2], where_, "its shape");
  tensor.entry.strides = parse_sizes(pickle_, parts[3], where_, "its strides");
  check_extent(tensor.entry, first, storage.view_elements);
  tensor.places[0].first = storage.view_first + first;
  tensor.entry.offset += tensor.places[0].first * storage.type->item_bytes;
  return tensor;
}

/// Fills type, file offset and checksum of the storage that starts at the tensor's first element.
TorchStorageRef TensorParser::parse_storage(PickleId id, TorchTensor& tensor) const {
  const auto ref = parse_storage_ref(pickle_, id, where_);
  if (!ref) fail("its storage is a persistent object of another kind");
  const std::string what =
      concat("its storage '", printable(container_.storage_prefix + ref->key), "' ");
  const auto found = container_.storages.find(ref->key);
  if (found == container_.storages.end()) fail(what + "is missing in the archive");
  const StorageRange& range = found->second;
  const int64_t item = ref->type->item_bytes;
  if (range.bytes % item != 0 || range.bytes / item != ref->num_elements) {
    fail(concat(what, "has ", range.bytes, " bytes; expected ", ref->num_elements, " elements of ",
                item, " bytes"));
  }
  tensor.support = ref->type->support;
  tensor.storage_type = std::string(ref->type->name);
  tensor.places = {{0, ref->num_elements, range.crc32}};
  tensor.entry.dtype = ref->type->dtype;
  tensor.entry.offset = range.offset;
  return *ref;
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
  for (size_t i = 0; i < entry.shape.size(); ++i) {
    count *= std::max<int64_t>(entry.shape[i], 1);
    if (!empty) last += static_cast<__int128>(entry.shape[i] - 1) * entry.strides[i];
    if (!empty && last >= num_elements) fail(beyond);
    if (count > int64_t{1} << 56) fail("its sizes multiply to more elements than can be counted");
  }
}

}  // namespace

TorchFile read_torch_file(RandomFile& file, TorchLayout layout) {
  TorchContainer container = read_torch_container(file);
  std::vector<TorchTensor> tensors = TensorParser(file, container).parse(layout);
  return {std::move(container.pickle), std::move(tensors)};
}

}  // namespace switchyard
