// A Python pickle as a tree of inert data: nothing in it is ever executed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace switchyard {

/// Index of a node in its Pickle.
using PickleId = uint32_t;
inline constexpr PickleId kNoPickleId = 0xFFFFFFFF;

enum class PickleKind : uint8_t {
  kNone,
  kBool,
  kInt,     ///< fits 64 bits
  kBigInt,  ///< wider; `text` holds its two's complement bytes, lowest first
  kFloat,
  kString,
  kBytes,
  kTuple,
  kList,
  kDict,  ///< items are key, value, key, value, ...; also OrderedDict, defaultdict
  kSet,
  kGlobal,      ///< a class or function: module `text`, name `name`
  kPersistent,  ///< an object kept outside the pickle; its id is items[0]
  kCall,        ///< callable(*arguments), not called; items: what was appended or set afterwards
};

struct PickleNode {
  PickleKind kind = PickleKind::kNone;
  int64_t integer = 0;  // kBool, kInt
  double real = 0.0;    // kFloat
  std::string_view text = {}, name = {};
  std::vector<PickleId> items = {};
  PickleId callable = kNoPickleId, arguments = kNoPickleId;  // kCall
  PickleId state = kNoPickleId;  // what BUILD would have set; any kind of object
};

/// Bounds of what a pickle may make the reader hold. A node takes about 100 bytes; a tensor of a
/// checkpoint about 12 nodes, so that four million nodes are ten times the largest real file.
struct PickleLimits {
  size_t max_bytes = size_t{256} << 20;
  size_t max_nodes = size_t{4} << 20;
  size_t max_items = size_t{32} << 20;  // of all containers together
  size_t max_stack = size_t{4} << 20;
};

/// Owns the nodes and the bytes they point to. Nodes refer to each other by index, so shared nodes
/// stand once, cycles and any depth are harmless, and whoever walks must bound the walk.
class Pickle {
 public:
  /// Parses one pickle of protocol 2 to 5. `source` names it in errors, which are Error(kInput)
  /// with the byte offset and the opcode.
  static Pickle parse(std::vector<char> bytes, const std::string& source,
                      const PickleLimits& limits = {});
  /// As parse, for the start of a longer text: the pickle begins at bytes[0], and behind `bytes`
  /// there is more, `available` bytes in all. Nothing if the pickle does not end within `bytes`.
  static std::optional<Pickle> parse_start(std::string_view bytes, uint64_t available,
                                           const std::string& source,
                                           const PickleLimits& limits = {});

  Pickle(Pickle&&) = default;
  Pickle& operator=(Pickle&&) = default;

  PickleId root() const { return root_; }
  const PickleNode& operator[](PickleId id) const { return nodes_[id]; }
  size_t num_nodes() const { return nodes_.size(); }
  /// Bytes up to and including STOP.
  size_t length() const { return length_; }

  /// The value of the string key in a kDict (the last if it stands there twice), or kNoPickleId.
  PickleId find(PickleId dict, std::string_view key) const;
  bool is_global(PickleId id, std::string_view module, std::string_view name) const;
  /// What a node is, for messages: "the string 'x'", "a tuple of 3", "a call of os.system".
  std::string describe(PickleId id) const;

 private:
  friend class PickleMachine;
  Pickle() = default;

  std::vector<char> bytes_;
  std::vector<PickleNode> nodes_;
  PickleId root_ = kNoPickleId;
  size_t length_ = 0;
};

}  // namespace switchyard
