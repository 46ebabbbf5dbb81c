// What each opcode of a pickle does; the names and numbers are those of Python's pickletools.
#include <array>

#include "kernels/base/error.h"
#include "runtime/checkpoint/pickle_machine.h"

namespace switchyard {

using Kind = PickleKind;

struct PickleMachine::Opcode {
  unsigned char byte;
  const char* name;
  void (*run)(PickleMachine& m);  // nullptr: known and refused
};

const PickleMachine::Opcode& PickleMachine::opcode(unsigned char byte) {
  using M = PickleMachine;
  static constexpr Opcode kUnknown = {0, "of no known name", nullptr};
  static constexpr Opcode kOpcodes[] = {
      {0x80, "PROTO", [](M& m) { m.protocol(); }},
      {0x95, "FRAME", [](M& m) { m.frame(); }},
      {'.', "STOP", [](M& m) { m.stop(); }},
      {'(', "MARK", [](M& m) { m.marks_.push_back(m.stack_.size()); }},
      {'0', "POP", [](M& m) { m.pop(); }},
      {'1', "POP_MARK", [](M& m) { m.pop_to_mark(); }},
      {'2', "DUP", [](M& m) { m.push(m.top()); }},
      {'N', "NONE", [](M& m) { m.constant(Kind::kNone, 0); }},
      {0x88, "NEWTRUE", [](M& m) { m.constant(Kind::kBool, 1); }},
      {0x89, "NEWFALSE", [](M& m) { m.constant(Kind::kBool, 0); }},
      {'J', "BININT", [](M& m) { m.integer(m.take_number<int32_t>()); }},
      {'K', "BININT1", [](M& m) { m.integer(m.take_number<uint8_t>()); }},
      {'M', "BININT2", [](M& m) { m.integer(m.take_number<uint16_t>()); }},
      {0x8a, "LONG1", [](M& m) { m.wide_integer(m.take(m.take_number<uint8_t>())); }},
      {0x8b, "LONG4", [](M& m) { m.wide_integer(m.take(m.take_number<uint32_t>())); }},
      {'G', "BINFLOAT", [](M& m) { m.real(); }},
      {'X', "BINUNICODE", [](M& m) { m.text(Kind::kString, m.take_number<uint32_t>()); }},
      {0x8c, "SHORT_BINUNICODE", [](M& m) { m.text(Kind::kString, m.take_number<uint8_t>()); }},
      {0x8d, "BINUNICODE8", [](M& m) { m.text(Kind::kString, m.take_number<uint64_t>()); }},
      // Text of Python 2, whose str are bytes: names and settings.
      {'U', "SHORT_BINSTRING", [](M& m) { m.text(Kind::kString, m.take_number<uint8_t>()); }},
      {'T', "BINSTRING", [](M& m) { m.text(Kind::kString, m.take_number<uint32_t>()); }},
      {'C', "SHORT_BINBYTES", [](M& m) { m.text(Kind::kBytes, m.take_number<uint8_t>()); }},
      {'B', "BINBYTES", [](M& m) { m.text(Kind::kBytes, m.take_number<uint32_t>()); }},
      {0x8e, "BINBYTES8", [](M& m) { m.text(Kind::kBytes, m.take_number<uint64_t>()); }},
      {0x96, "BYTEARRAY8", [](M& m) { m.text(Kind::kBytes, m.take_number<uint64_t>()); }},
      {')', "EMPTY_TUPLE", [](M& m) { m.tuple(0); }},
      {0x85, "TUPLE1", [](M& m) { m.tuple(1); }},
      {0x86, "TUPLE2", [](M& m) { m.tuple(2); }},
      {0x87, "TUPLE3", [](M& m) { m.tuple(3); }},
      {'t', "TUPLE", [](M& m) { m.sequence(Kind::kTuple); }},
      {']', "EMPTY_LIST", [](M& m) { m.container(Kind::kList); }},
      {'l', "LIST", [](M& m) { m.sequence(Kind::kList); }},
      {'}', "EMPTY_DICT", [](M& m) { m.container(Kind::kDict); }},
      {0x8f, "EMPTY_SET", [](M& m) { m.container(Kind::kSet); }},
      {0x91, "FROZENSET", [](M& m) { m.sequence(Kind::kSet); }},
      {'a', "APPEND",
       [](M& m) {
         const PickleId item = m.pop();
         m.append(m.top(), {item}, 1);
       }},
      {'e', "APPENDS",
       [](M& m) {
         const std::vector<PickleId> items = m.pop_to_mark();
         m.append(m.top(), items, 1);
       }},
      {0x90, "ADDITEMS",
       [](M& m) {
         const std::vector<PickleId> items = m.pop_to_mark();
         m.append(m.top(), items, 1);
       }},
      {'s', "SETITEM",
       [](M& m) {
         const PickleId value = m.pop();
         const PickleId key = m.pop();
         m.append(m.top(), {key, value}, 2);
       }},
      {'u', "SETITEMS",
       [](M& m) {
         const std::vector<PickleId> items = m.pop_to_mark();
         m.append(m.top(), items, 2);
       }},
      {'c', "GLOBAL",
       [](M& m) {
         const std::string_view module = m.take_line();
         m.global(module, m.take_line());
       }},
      {0x93, "STACK_GLOBAL",
       [](M& m) {
         const std::string_view name = m.pop_string("name");
         m.global(m.pop_string("module"), name);
       }},
      {'R', "REDUCE", [](M& m) { m.call(2); }},
      {0x81, "NEWOBJ", [](M& m) { m.call(2); }},
      {0x92, "NEWOBJ_EX", [](M& m) { m.call(3); }},
      {'b', "BUILD", [](M& m) { m.build(); }},
      {'Q', "BINPERSID",
       [](M& m) {
         const PickleId key = m.pop();
         m.count_items(1);
         m.push_new({.kind = Kind::kPersistent, .items = {key}});
       }},
      {'q', "BINPUT", [](M& m) { m.remember(m.take_number<uint8_t>()); }},
      {'r', "LONG_BINPUT", [](M& m) { m.remember(m.take_number<uint32_t>()); }},
      {0x94, "MEMOIZE", [](M& m) { m.remember(m.memo_.size()); }},
      {'h', "BINGET", [](M& m) { m.recall(m.take_number<uint8_t>()); }},
      {'j', "LONG_BINGET", [](M& m) { m.recall(m.take_number<uint32_t>()); }},
      {'d', "DICT", nullptr},
      {'F', "FLOAT", nullptr},
      {'I', "INT", nullptr},
      {'L', "LONG", nullptr},
      {'P', "PERSID", nullptr},
      {'S', "STRING", nullptr},
      {'V', "UNICODE", nullptr},
      {'g', "GET", nullptr},
      {'p', "PUT", nullptr},
      {'i', "INST", nullptr},
      {'o', "OBJ", nullptr},
      {0x82, "EXT1", nullptr},
      {0x83, "EXT2", nullptr},
      {0x84, "EXT4", nullptr},
      {0x97, "NEXT_BUFFER", nullptr},
      {0x98, "READONLY_BUFFER", nullptr},
  };
  static const auto kTable = [] {
    std::array<const Opcode*, 256> table;
    table.fill(&kUnknown);
    for (const Opcode& entry : kOpcodes) table[entry.byte] = &entry;
    return table;
  }();
  return *kTable[byte];
}

void PickleMachine::run() {
  while (!stopped_) {
    opcode_at_ = cursor_;
    if (cursor_ >= bytes_.size()) {
      want(1);
      fail("the data ends without STOP; the file is truncated");
    }
    const Opcode& code = opcode(static_cast<unsigned char>(bytes_[cursor_]));
    if (code.run == nullptr) {
      fail("is not supported; save the checkpoint with pickle protocol 2 to 5");
    }
    ++cursor_;
    code.run(*this);
  }
}

void PickleMachine::fail(const std::string& problem) const {
  const std::string where = concat(source_, ", byte ", opcode_at_);
  if (opcode_at_ >= bytes_.size()) fail_input(where, ": ", problem);
  const auto byte = static_cast<unsigned char>(bytes_[opcode_at_]);
  fail_input(where, ", opcode ", opcode(byte).name, " (", static_cast<int>(byte), "): ", problem);
}

}  // namespace switchyard
