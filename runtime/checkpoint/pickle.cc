#include "runtime/checkpoint/pickle.h"

#include "kernels/base/error.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {

PickleId Pickle::find(PickleId dict, std::string_view key) const {
  PickleId found = kNoPickleId;
  const PickleNode& node = nodes_[dict];
  if (node.kind != PickleKind::kDict) return found;
  for (size_t i = 0; i + 1 < node.items.size(); i += 2) {
    const PickleNode& candidate = nodes_[node.items[i]];
    if (candidate.kind == PickleKind::kString && candidate.text == key) found = node.items[i + 1];
  }
  return found;
}

bool Pickle::is_global(PickleId id, std::string_view module, std::string_view name) const {
  if (id == kNoPickleId) return false;
  const PickleNode& node = nodes_[id];
  return node.kind == PickleKind::kGlobal && node.text == module && node.name == name;
}

std::string Pickle::describe(PickleId id) const {
  if (id == kNoPickleId) return "nothing";
  const PickleNode& node = nodes_[id];
  switch (node.kind) {
    case PickleKind::kNone:
      return "None";
    case PickleKind::kBool:
      return node.integer != 0 ? "True" : "False";
    case PickleKind::kInt:
      return concat("the number ", node.integer);
    case PickleKind::kBigInt:
      return concat("an integer of ", node.text.size(), " bytes");
    case PickleKind::kFloat:
      return concat("the number ", node.real);
    case PickleKind::kString:
      return concat("the string '", printable(node.text), "'");
    case PickleKind::kBytes:
      return concat(node.text.size(), " bytes");
    case PickleKind::kTuple:
      return concat("a tuple of ", node.items.size());
    case PickleKind::kList:
      return concat("a list of ", node.items.size());
    case PickleKind::kDict:
      return concat("a dict of ", node.items.size() / 2);
    case PickleKind::kSet:
      return concat("a set of ", node.items.size());
    case PickleKind::kGlobal:
      return concat("the object ", printable(node.text), ".", printable(node.name));
    case PickleKind::kPersistent:
      return "a stored object";
    case PickleKind::kCall:
      break;
  }
  const PickleNode& callable = nodes_[node.callable];
  if (callable.kind != PickleKind::kGlobal) return "a call of something computed";
  return concat("a call of ", printable(callable.text), ".", printable(callable.name));
}

}  // namespace switchyard
