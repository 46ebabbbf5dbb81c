#include "runtime/checkpoint/config_tree.h"

#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// The module of the class that a kCall makes an object of; empty for anything else.
std::string_view module_of(const Pickle& pickle, PickleId id) {
  const PickleNode& node = pickle[id];
  if (node.kind != PickleKind::kCall) return {};
  const PickleNode& callable = pickle[node.callable];
  return callable.kind == PickleKind::kGlobal ? callable.text : std::string_view();
}

bool is_reference(const PickleNode& node) {
  return node.kind == PickleKind::kString && node.text.starts_with("${") &&
         node.text.ends_with("}");
}

/// The one string among the arguments of a call, as in Class('member'), or the name in
/// getattr(Class, 'member'); kNoPickleId for other calls.
PickleId member_of_enumeration(const Pickle& pickle, PickleId id) {
  const PickleNode& node = pickle[id];
  if (node.kind != PickleKind::kCall) return kNoPickleId;
  const PickleNode& arguments = pickle[node.arguments];
  if (arguments.kind != PickleKind::kTuple || arguments.items.empty()) return kNoPickleId;
  const PickleId last = arguments.items.back();
  if (pickle[last].kind != PickleKind::kString) return kNoPickleId;
  PickleId type = node.callable;
  if (pickle.is_global(type, "builtins", "getattr") ||
      pickle.is_global(type, "__builtin__", "getattr")) {
    if (arguments.items.size() != 2) return kNoPickleId;
    type = arguments.items[0];
  } else if (arguments.items.size() != 1) {
    return kNoPickleId;
  }
  const bool known =
      pickle[type].kind == PickleKind::kGlobal && pickle[type].text.starts_with("fairseq.");
  return known ? last : kNoPickleId;
}

}  // namespace

PickleId ConfigTree::attribute(PickleId object, std::string_view name,
                               std::string_view old_name) const {
  const PickleId state = pickle_[object].state;
  if (state == kNoPickleId) return kNoPickleId;
  const PickleId found = pickle_.find(state, name);
  return found == kNoPickleId ? pickle_.find(state, old_name) : found;
}

PickleId ConfigTree::entries(PickleId node) const {
  if (node == kNoPickleId) return kNoPickleId;
  if (pickle_[node].kind == PickleKind::kDict) return node;
  const std::string_view module = module_of(pickle_, node);
  PickleId dict = kNoPickleId;
  if (module.starts_with("omegaconf.")) {
    dict = attribute(node, "_content", "content");
  } else if (module == "argparse" || module.starts_with("fairseq.")) {
    dict = pickle_[node].state;
  }
  const bool found = dict != kNoPickleId && pickle_[dict].kind == PickleKind::kDict;
  return found ? dict : kNoPickleId;
}

PickleId ConfigTree::value(PickleId node) const {
  if (module_of(pickle_, node).starts_with("omegaconf.")) {
    const PickleId content = attribute(node, "_content", "content");
    if (content != kNoPickleId) return content;
    const PickleId held = attribute(node, "_val", "val");
    if (held == kNoPickleId) return node;
    node = held;
  }
  const PickleId member = member_of_enumeration(pickle_, node);
  return member == kNoPickleId ? node : member;
}

PickleId ConfigTree::follow(std::string_view path) const {
  PickleId node = root_;
  while (node != kNoPickleId) {
    const size_t dot = path.find('.');
    const PickleId dict = entries(node);
    node = dict == kNoPickleId ? kNoPickleId : pickle_.find(dict, path.substr(0, dot));
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  return node;
}

PickleId ConfigTree::resolve(PickleId node, const std::string& what) const {
  // References to references occur (a section repeats a setting of another that repeats a third).
  constexpr int kMostSteps = 4;
  constexpr size_t kLongestPath = 200;
  const PickleId first = value(node);
  PickleId current = first;
  for (int step = 0; is_reference(pickle_[current]); ++step) {
    const std::string_view text = pickle_[current].text;
    const PickleId target = step == kMostSteps || text.size() > kLongestPath
                                ? kNoPickleId
                                : follow(text.substr(2, text.size() - 3));
    if (target == kNoPickleId) {
      fail_input(what, " refers to ", pickle_.describe(first),
                 ", which is not there or leads in a circle");
    }
    current = value(target);
  }
  return current;
}

}  // namespace switchyard
