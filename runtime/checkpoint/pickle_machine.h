// The stack machine behind Pickle::parse. Include it in pickle_machine*.cc only.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/checkpoint/pickle.h"
#include "runtime/checkpoint/random_file.h"

namespace switchyard {

/// Runs the opcodes of one pickle. No opcode recurses; each checks what it reads and pops.
class PickleMachine {
 public:
  /// Thrown by run() when the pickle goes on behind the bytes at hand.
  struct Unfinished {};

  /// There are `available` bytes, of which the pickle holds the first.
  PickleMachine(Pickle& pickle, uint64_t available, const std::string& source,
                const PickleLimits& limits);

  /// Runs to STOP and leaves the result as the pickle's root.
  void run();

 private:
  struct Opcode;
  static const Opcode& opcode(unsigned char byte);

  // Input.
  std::string_view take(uint64_t bytes);
  std::string_view take_line();
  template <typename T>
  T take_number() {
    return load_little_endian<T>(take(sizeof(T)).data());
  }
  /// Throws Unfinished unless `bytes` more than those read are too many for what there is at all.
  void want(uint64_t bytes) const;
  [[noreturn]] void fail(const std::string& problem) const;

  // Stack and nodes.
  PickleId add(PickleNode node);
  PickleNode& at(PickleId id) { return pickle_.nodes_[id]; }
  void push(PickleId id);
  void push_new(PickleNode node) { push(add(std::move(node))); }
  PickleId pop();
  PickleId top() const;
  std::vector<PickleId> pop_to_mark();
  std::string_view pop_string(const char* what);
  void count_items(size_t items);
  void append(PickleId container, const std::vector<PickleId>& items, size_t multiple);

  // Opcodes that share a form.
  void constant(PickleKind kind, int64_t value);
  void integer(int64_t value);
  void wide_integer(std::string_view bytes);
  void real();
  void text(PickleKind kind, uint64_t bytes);
  void container(PickleKind kind);
  void sequence(PickleKind kind);
  void tuple(size_t items);
  void call(size_t operands);
  void global(std::string_view module, std::string_view name);
  void build();
  void remember(uint64_t index);
  void recall(uint64_t index);
  void protocol();
  void frame();
  void stop();

  Pickle& pickle_;
  const std::string& source_;
  const PickleLimits limits_;
  std::string_view bytes_;
  uint64_t available_;
  size_t cursor_ = 0;
  size_t opcode_at_ = 0;
  bool stopped_ = false;
  size_t num_items_ = 0;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;  // stack sizes
  std::vector<PickleId> memo_;
  PickleId constants_[3] = {kNoPickleId, kNoPickleId, kNoPickleId};  // None, False, True
};

}  // namespace switchyard
