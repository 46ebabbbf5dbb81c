// Finds request ids that stand twice, remembering a hash of each.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/requests/request.h"

namespace switchyard {

/// The ids seen so far as 128-bit hashes, 16 bytes in a table that is between 3/8 and 3/4 full: at
/// most 43 bytes an id.
class DuplicateIds {
 public:
  /// `path` is where the requests come from ("-": standard input); a regular file is read again
  /// when two hashes are equal, to find the first line or to see that the ids differ after all.
  /// `name` is what messages call it.
  DuplicateIds(std::string path, std::string name);

  /// Remembers the id of the request on a line. Throws Error(kInput) naming the id and both lines
  /// (on standard input the later one) when an earlier request had it.
  void add(const RequestId& id, int64_t line);
  void add(const Request& request) { add(request.id, request.line); }

  int64_t size() const { return num_used_; }

 private:
  using Hash = std::array<uint64_t, 2>;  // {0, 0} marks a free place

  /// Whether the hash was not there before.
  bool insert(const Hash& hash);
  void grow();
  void check_earlier_lines(const RequestId& id, int64_t line) const;

  std::string path_;
  std::string name_;
  std::vector<Hash> table_;  // open addressing, linear probing; a power of two
  int64_t num_used_ = 0;
};

}  // namespace switchyard
