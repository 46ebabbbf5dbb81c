#include "runtime/checkpoint/torch_values.h"

#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {

int64_t parse_count(const Pickle& pickle, PickleId id, const std::string& where, const char* what) {
  const PickleNode& node = pickle[id];
  if (node.kind != PickleKind::kInt || node.integer < 0) {
    fail_input(where, what, " is ", pickle.describe(id), "; expected a number from 0 up");
  }
  return node.integer;
}

std::vector<int64_t> parse_sizes(const Pickle& pickle, PickleId id, const std::string& where,
                                 const char* what) {
  if (pickle[id].kind == PickleKind::kCall &&
      pickle.is_global(pickle[id].callable, "torch", "Size")) {
    const PickleNode& arguments = pickle[pickle[id].arguments];
    if (arguments.kind == PickleKind::kTuple && arguments.items.size() == 1) {
      id = arguments.items[0];
    }
  }
  const PickleNode& node = pickle[id];
  const bool sequence = node.kind == PickleKind::kTuple || node.kind == PickleKind::kList;
  if (!sequence || node.items.size() > kMaxRank) {
    fail_input(where, what, " is ", pickle.describe(id), "; expected a tuple of at most ",
               kMaxRank);
  }
  std::vector<int64_t> values;
  for (const PickleId item : node.items) values.push_back(parse_count(pickle, item, where, what));
  return values;
}

}  // namespace switchyard
