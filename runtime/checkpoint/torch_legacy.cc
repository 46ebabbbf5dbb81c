#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "runtime/checkpoint/torch_container.h"
#include "runtime/checkpoint/torch_storage.h"

namespace switchyard {
namespace {

/// The pickles at the start of a legacy file, read in pieces that double.
class LegacyHead {
 public:
  explicit LegacyHead(RandomFile& file) : file_(file) {}

  /// The next pickle; `what` it is, for messages.
  Pickle next(const char* what);
  /// The number of 64 bits at byte `at` of the file.
  uint64_t number_at(int64_t at, const std::string& what);
  /// Behind the last pickle taken, in bytes from the start of the file.
  int64_t position() const { return static_cast<int64_t>(position_); }

 private:
  void grow();

  RandomFile& file_;
  const PickleLimits limits_;
  std::vector<char> bytes_;  // the file's first
  size_t position_ = 0;
};

void LegacyHead::grow() {
  constexpr size_t kFirstPiece = size_t{32} << 10;
  const size_t have = bytes_.size();
  if (have >= limits_.max_bytes) {
    fail_input(file_.path(), ": its objects take more than the limit of ", limits_.max_bytes,
               " bytes");
  }
  size_t want = std::min(std::max(kFirstPiece, 2 * have), limits_.max_bytes);
  want = std::min(want, static_cast<size_t>(file_.size()));
  bytes_.resize(want);
  file_.read_at(static_cast<int64_t>(have), static_cast<int64_t>(want - have), bytes_.data() + have,
                "the objects");
}

Pickle LegacyHead::next(const char* what) {
  const std::string source =
      concat(file_.path(), ": ", what, ", which starts at byte ", position_, " of the file");
  const auto left = static_cast<uint64_t>(file_.size()) - position_;
  while (true) {
    const std::string_view rest = std::string_view(bytes_.data(), bytes_.size()).substr(position_);
    std::optional<Pickle> pickle = Pickle::parse_start(rest, left, source, limits_);
    if (pickle) {
      position_ += pickle->length();
      return std::move(*pickle);
    }
    grow();
  }
}

uint64_t LegacyHead::number_at(int64_t at, const std::string& what) {
  char bytes[sizeof(uint64_t)];
  if (static_cast<size_t>(at) + sizeof(bytes) <= bytes_.size()) {
    std::copy_n(bytes_.data() + at, sizeof(bytes), bytes);
  } else {
    file_.read_at(at, sizeof(bytes), bytes, what);
  }
  return load_little_endian<uint64_t>(bytes);
}

void check_writer(const RandomFile& file, LegacyHead& head) {
  head.next("the magic number");  // seen before the container was told by it
  const Pickle protocol = head.next("the protocol number");
  const PickleNode& number = protocol[protocol.root()];
  constexpr int64_t kProtocol = 1001;
  if (number.kind != PickleKind::kInt || number.integer != kProtocol) {
    fail_input(file.path(), ": its protocol is ", protocol.describe(protocol.root()), "; expected ",
               kProtocol);
  }
  const Pickle system = head.next("the writer's system");
  const PickleId order = system.find(system.root(), "little_endian");
  if (order == kNoPickleId || system[order].kind != PickleKind::kBool ||
      system[order].integer == 0) {
    fail_input(file.path(), ": its 'little_endian' is ", system.describe(order),
               "; only files of little-endian machines are supported");
  }
}

/// The storages that objects of the tree refer to, by key.
std::unordered_map<std::string, TorchStorageRef> declared_storages(const RandomFile& file,
                                                                   const Pickle& pickle) {
  std::unordered_map<std::string, TorchStorageRef> declared;
  for (PickleId id = 0; id < pickle.num_nodes(); ++id) {
    if (pickle[id].kind != PickleKind::kPersistent) continue;
    const auto ref = parse_storage_ref(pickle, id, file.path() + ": an object: ");
    if (!ref) continue;
    const auto [known, added] = declared.emplace(ref->key, *ref);
    if (!added &&
        (known->second.type != ref->type || known->second.num_elements != ref->num_elements)) {
      fail_input(file.path(), ": storage '", printable(ref->key), "' is declared as ",
                 known->second.num_elements, " elements of ", known->second.type->name, " and as ",
                 ref->num_elements, " of ", ref->type->name);
    }
  }
  return declared;
}

/// Finds the storages behind the head, one after the other, without reading them.
class LegacyStorages {
 public:
  LegacyStorages(const RandomFile& file, LegacyHead& head, const Pickle& objects)
      : file_(file), head_(head), declared_(declared_storages(file, objects)) {}

  std::unordered_map<std::string, StorageRange> find(const Pickle& keys) {
    const PickleNode& list = keys[keys.root()];
    if (list.kind != PickleKind::kList) {
      fail_input(file_.path(), ": the list of storages is ", keys.describe(keys.root()));
    }
    end_ = head_.position();
    for (const PickleId key : list.items) {
      if (keys[key].kind != PickleKind::kString) {
        fail_input(file_.path(), ": a storage's key is ", keys.describe(key));
      }
      add(std::string(keys[key].text));
    }
    for (const auto& [key, ref] : declared_) {
      if (found_.count(key) == 0) fail(key, "is not in the file's list of storages");
    }
    if (end_ != file_.size()) {
      fail_input(file_.path(), ": the last storage ends at byte ", end_, ", but the file has ",
                 file_.size(), " bytes; it was damaged or joined with another");
    }
    return std::move(found_);
  }

 private:
  [[noreturn]] void fail(const std::string& key, const std::string& problem) const {
    fail_input(file_.path(), ": storage '", printable(key), "' ", problem);
  }
  void add(const std::string& key);

  const RandomFile& file_;
  LegacyHead& head_;
  const std::unordered_map<std::string, TorchStorageRef> declared_;
  std::unordered_map<std::string, StorageRange> found_;
  int64_t end_ = 0;  // of the storages found
};

void LegacyStorages::add(const std::string& key) {
  const auto found = declared_.find(key);
  if (found == declared_.end()) fail(key, "belongs to no object of the file");
  if (found_.count(key) > 0) fail(key, "stands twice in the file's list of storages");
  const TorchStorageRef& ref = found->second;
  const uint64_t count =
      head_.number_at(end_, concat("the size of storage '", printable(key), "'"));
  if (count != static_cast<uint64_t>(ref.num_elements)) {
    fail(key, concat("has ", count, " elements at byte ", end_, ", but its object declares ",
                     ref.num_elements));
  }
  end_ += static_cast<int64_t>(sizeof(count));
  const int64_t left = file_.size() - end_;
  if (ref.num_elements > left / ref.type->item_bytes) {
    fail(key,
         concat("(", ref.num_elements, " elements of ", ref.type->item_bytes, " bytes from byte ",
                end_, ") ends outside the file of ", file_.size(), " bytes; it is truncated"));
  }
  const int64_t bytes = ref.num_elements * ref.type->item_bytes;
  found_[key] = {end_, bytes, 0};
  end_ += bytes;
}

}  // namespace

TorchContainer read_legacy_container(RandomFile& file) {
  LegacyHead head(file);
  check_writer(file, head);
  Pickle objects = head.next("the object tree");
  const Pickle keys = head.next("the list of storages");
  auto storages = LegacyStorages(file, head, objects).find(keys);
  return {std::move(objects), std::move(storages), ""};
}

}  // namespace switchyard
