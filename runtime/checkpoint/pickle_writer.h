// Writes a pickle of protocol 2, opcode by opcode.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace switchyard {

/// Each value is written where Python's stack machine expects it: inside begin_dict() a key, then
/// its value; after global() and a tuple, call(). Nothing is memoised: a value that is written
/// twice is two objects.
class PickleWriter {
 public:
  PickleWriter() : bytes_("\x80\x02") {}

  void none() { bytes_ += 'N'; }
  void boolean(bool value) { bytes_ += value ? '\x88' : '\x89'; }
  void integer(int64_t value);
  void real(double value);
  /// `value` is UTF-8.
  void text(std::string_view value);
  /// A class or function, as ("collections", "OrderedDict"). No line ends in either.
  void global(std::string_view module, std::string_view name);

  void begin_tuple() { bytes_ += '('; }
  void end_tuple() { bytes_ += 't'; }
  void begin_list() { bytes_ += "]("; }
  void end_list() { bytes_ += 'e'; }
  void begin_dict() { bytes_ += "}("; }
  /// A dictionary that keeps its order: collections.OrderedDict.
  void begin_ordered_dict();
  void end_dict() { bytes_ += 'u'; }

  /// Replaces a callable and the tuple of its arguments by the result.
  void call() { bytes_ += 'R'; }
  /// Replaces an object's id by the object that is kept outside the pickle.
  void persistent() { bytes_ += 'Q'; }

  /// The whole pickle; the writer is done.
  std::string finish();

 private:
  std::string bytes_;
};

}  // namespace switchyard
