#include "runtime/checkpoint/torch_storage.h"

#include "kernels/base/error.h"
#include "runtime/checkpoint/torch_values.h"

namespace switchyard {
namespace {

constexpr TorchStorageType kStorageTypes[] = {
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
    {"QInt8Storage", 1, TensorSupport::kUnknownType, DType::kU8},
    {"QUInt8Storage", 1, TensorSupport::kUnknownType, DType::kU8},
    {"QInt32Storage", 4, TensorSupport::kUnknownType, DType::kU8},
};

const TorchStorageType& storage_type(const Pickle& pickle, PickleId id, const std::string& where) {
  const PickleNode& node = pickle[id];
  if (node.kind == PickleKind::kGlobal && (node.text == "torch" || node.text == "torch.cuda")) {
    for (const TorchStorageType& type : kStorageTypes) {
      if (type.name == node.name) return type;
    }
  }
  fail_input(where, "its storage has the unknown type ", pickle.describe(id));
}

void parse_view(const Pickle& pickle, PickleId id, const std::string& where, TorchStorageRef& ref) {
  const PickleNode& view = pickle[id];
  if (view.kind == PickleKind::kNone) return;
  if (view.kind != PickleKind::kTuple || view.items.size() != 3) {
    fail_input(where, "the view of its storage is ", pickle.describe(id),
               "; expected None or a tuple of 3");
  }
  ref.view_first = parse_count(pickle, view.items[1], where, "the start of its storage's view");
  ref.view_elements = parse_count(pickle, view.items[2], where, "the size of its storage's view");
  if (ref.view_first > ref.num_elements || ref.view_elements > ref.num_elements - ref.view_first) {
    fail_input(where, "the view of ", ref.view_elements, " elements from element ", ref.view_first,
               " reaches beyond its storage of ", ref.num_elements, " elements");
  }
}

}  // namespace

std::optional<TorchStorageRef> parse_storage_ref(const Pickle& pickle, PickleId id,
                                                 const std::string& where) {
  const PickleNode& node = pickle[id];
  if (node.kind != PickleKind::kPersistent) {
    fail_input(where, "its storage is ", pickle.describe(id));
  }
  const PickleNode& parts = pickle[node.items[0]];
  const bool tuple = parts.kind == PickleKind::kTuple && !parts.items.empty();
  if (tuple && pickle[parts.items[0]].kind == PickleKind::kString &&
      pickle[parts.items[0]].text != "storage") {
    return std::nullopt;
  }
  // The location, parts[3], is where the writer's memory was and means nothing here.
  if (!tuple || parts.items.size() < 5 || pickle[parts.items[0]].text != "storage" ||
      pickle[parts.items[2]].kind != PickleKind::kString) {
    fail_input(where, "its storage is described by ", pickle.describe(node.items[0]));
  }
  TorchStorageRef ref;
  ref.type = &storage_type(pickle, parts.items[1], where);
  constexpr size_t kMaxKeyBytes = 256;  // torch counts storages, or writes their address
  const std::string_view key = pickle[parts.items[2]].text;
  if (key.size() > kMaxKeyBytes) {
    fail_input(where, "its storage has a key of ", key.size(), " bytes; expected a number");
  }
  ref.key = std::string(key);
  ref.num_elements = parse_count(pickle, parts.items[4], where, "the size of its storage");
  ref.view_elements = ref.num_elements;
  if (parts.items.size() > 5) parse_view(pickle, parts.items[5], where, ref);
  return ref;
}

}  // namespace switchyard
