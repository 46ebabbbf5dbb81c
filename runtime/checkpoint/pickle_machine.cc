#include "runtime/checkpoint/pickle_machine.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "kernels/base/error.h"

namespace switchyard {

using Kind = PickleKind;

Pickle Pickle::parse(std::vector<char> bytes, const std::string& source,
                     const PickleLimits& limits) {
  if (bytes.size() > limits.max_bytes) {
    fail_input(source, ": ", bytes.size(), " bytes are more than the limit of ", limits.max_bytes);
  }
  Pickle pickle;
  pickle.bytes_ = std::move(bytes);
  PickleMachine(pickle, pickle.bytes_.size(), source, limits).run();
  return pickle;
}

std::optional<Pickle> Pickle::parse_start(std::string_view bytes, uint64_t available,
                                          const std::string& source, const PickleLimits& limits) {
  Pickle pickle;
  pickle.bytes_.assign(bytes.begin(), bytes.end());
  try {
    PickleMachine(pickle, available, source, limits).run();
  } catch (const PickleMachine::Unfinished&) {
    return std::nullopt;
  }
  return pickle;
}

PickleMachine::PickleMachine(Pickle& pickle, uint64_t available, const std::string& source,
                             const PickleLimits& limits)
    : pickle_(pickle),
      source_(source),
      limits_(limits),
      bytes_(pickle.bytes_.data(), pickle.bytes_.size()),
      available_(available) {}

void PickleMachine::want(uint64_t bytes) const {
  if (available_ > bytes_.size() && bytes <= available_ - cursor_) throw Unfinished();
}

std::string_view PickleMachine::take(uint64_t bytes) {
  if (bytes > bytes_.size() - cursor_) {
    want(bytes);
    fail(concat("needs ", bytes, " bytes, but only ", available_ - cursor_,
                " are left; the file is damaged or truncated"));
  }
  const std::string_view taken = bytes_.substr(cursor_, static_cast<size_t>(bytes));
  cursor_ += static_cast<size_t>(bytes);
  return taken;
}

std::string_view PickleMachine::take_line() {
  constexpr size_t kLongestName = 4096;
  const std::string_view window = bytes_.substr(cursor_, kLongestName);
  const size_t end = window.find('\n');
  if (end == std::string_view::npos) {
    if (window.size() < kLongestName) want(window.size() + 1);
    fail("a name has no end");
  }
  cursor_ += end + 1;
  return window.substr(0, end);
}

PickleId PickleMachine::add(PickleNode node) {
  if (pickle_.nodes_.size() >= limits_.max_nodes) {
    fail(concat("more than ", limits_.max_nodes, " objects; the file is damaged or hostile"));
  }
  pickle_.nodes_.push_back(std::move(node));
  return static_cast<PickleId>(pickle_.nodes_.size() - 1);
}

void PickleMachine::push(PickleId id) {
  if (stack_.size() >= limits_.max_stack) {
    fail(concat("more than ", limits_.max_stack, " objects on the stack"));
  }
  stack_.push_back(id);
}

PickleId PickleMachine::top() const {
  if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("takes from an empty stack");
  return stack_.back();
}

PickleId PickleMachine::pop() {
  const PickleId id = top();
  stack_.pop_back();
  return id;
}

std::vector<PickleId> PickleMachine::pop_to_mark() {
  if (marks_.empty()) fail("there is no mark");
  const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
  std::vector<PickleId> items(first, stack_.end());
  stack_.erase(first, stack_.end());
  marks_.pop_back();
  return items;
}

std::string_view PickleMachine::pop_string(const char* what) {
  const PickleId id = pop();
  if (at(id).kind != Kind::kString) fail(concat("the ", what, " is ", pickle_.describe(id)));
  return at(id).text;
}

void PickleMachine::count_items(size_t items) {
  num_items_ += items;
  if (num_items_ > limits_.max_items) {
    fail(concat("more than ", limits_.max_items, " items in containers"));
  }
}

void PickleMachine::append(PickleId container, const std::vector<PickleId>& items,
                           size_t multiple) {
  PickleNode& node = at(container);
  const bool pairs = multiple == 2;
  const bool fits =
      node.kind == Kind::kCall ||
      (pairs ? node.kind == Kind::kDict : node.kind == Kind::kList || node.kind == Kind::kSet);
  if (!fits) fail(concat("adds items to ", pickle_.describe(container)));
  if (items.size() % multiple != 0) fail("a key has no value");
  count_items(items.size());
  node.items.insert(node.items.end(), items.begin(), items.end());
}

void PickleMachine::constant(PickleKind kind, int64_t value) {
  // One node each, so that a long list of None takes no more than its items.
  PickleId& id = constants_[kind == Kind::kNone ? 0 : 1 + value];
  if (id == kNoPickleId) id = add({.kind = kind, .integer = value});
  push(id);
}

void PickleMachine::integer(int64_t value) { push_new({.kind = Kind::kInt, .integer = value}); }

void PickleMachine::wide_integer(std::string_view bytes) {
  if (bytes.size() > 8) return push_new({.kind = Kind::kBigInt, .text = bytes});
  uint64_t value = 0;
  for (size_t i = 0; i < bytes.size(); ++i) {
    value |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  }
  const size_t unused = 64 - 8 * bytes.size();  // sign bits to copy in
  if (!bytes.empty()) {
    value = static_cast<uint64_t>(static_cast<int64_t>(value << unused) >> unused);
  }
  integer(static_cast<int64_t>(value));
}

void PickleMachine::real() {
  uint64_t bits = 0;  // the one big-endian field of the format
  for (const char byte : take(8)) bits = bits << 8 | static_cast<unsigned char>(byte);
  push_new({.kind = Kind::kFloat, .real = std::bit_cast<double>(bits)});
}

void PickleMachine::text(PickleKind kind, uint64_t bytes) {
  push_new({.kind = kind, .text = take(bytes)});
}

void PickleMachine::container(PickleKind kind) { push_new({.kind = kind}); }

void PickleMachine::sequence(PickleKind kind) {
  std::vector<PickleId> items = pop_to_mark();
  count_items(items.size());
  push_new({.kind = kind, .items = std::move(items)});
}

void PickleMachine::tuple(size_t items) {
  std::vector<PickleId> parts(items);
  for (size_t i = items; i-- > 0;) parts[i] = pop();
  count_items(items);
  push_new({.kind = Kind::kTuple, .items = std::move(parts)});
}

void PickleMachine::call(size_t operands) {
  PickleNode node{.kind = Kind::kCall};
  if (operands == 3) {  // keyword arguments: kept as an item, nobody reads them
    count_items(1);
    node.items.push_back(pop());
  }
  node.arguments = pop();
  node.callable = pop();
  const bool empty = at(node.arguments).kind == Kind::kTuple && at(node.arguments).items.empty();
  if (pickle_.is_global(node.callable, "collections", "defaultdict") ||
      (empty && (pickle_.is_global(node.callable, "collections", "OrderedDict") ||
                 pickle_.is_global(node.callable, "builtins", "dict") ||
                 pickle_.is_global(node.callable, "__builtin__", "dict")))) {
    return push_new({.kind = Kind::kDict});
  }
  push_new(std::move(node));
}

void PickleMachine::global(std::string_view module, std::string_view name) {
  push_new({.kind = Kind::kGlobal, .text = module, .name = name});
}

void PickleMachine::build() {
  const PickleId state = pop();
  PickleNode& object = at(top());
  if (object.kind != Kind::kCall && object.kind != Kind::kDict && object.kind != Kind::kGlobal) {
    fail(concat("sets the state of ", pickle_.describe(top())));
  }
  object.state = state;
}

void PickleMachine::remember(uint64_t index) {
  if (index >= limits_.max_nodes) fail(concat("memo index ", index, " is beyond the limit"));
  const PickleId id = top();
  if (index >= memo_.size()) memo_.resize(static_cast<size_t>(index) + 1, kNoPickleId);
  memo_[static_cast<size_t>(index)] = id;
}

void PickleMachine::recall(uint64_t index) {
  if (index >= memo_.size() || memo_[static_cast<size_t>(index)] == kNoPickleId) {
    fail(concat("memo index ", index, " was never set"));
  }
  push(memo_[static_cast<size_t>(index)]);
}

void PickleMachine::protocol() {
  const int version = take_number<uint8_t>();
  if (version < 2 || version > 5) {
    fail(concat("pickle protocol ", version, " is not supported; expected 2 to 5"));
  }
}

void PickleMachine::frame() {
  const auto length = take_number<uint64_t>();
  if (length > available_ - cursor_) {
    fail(concat("a frame of ", length, " bytes, but only ", available_ - cursor_, " are left"));
  }
}

void PickleMachine::stop() {
  if (stack_.size() != 1 || !marks_.empty()) {
    fail(concat(stack_.size(), " objects are left at the end; expected one"));
  }
  pickle_.root_ = stack_.back();
  pickle_.length_ = cursor_;
  stopped_ = true;
}

}  // namespace switchyard
