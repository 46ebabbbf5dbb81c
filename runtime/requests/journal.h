// Results on their way to the disk.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/requests/file_handle.h"

namespace switchyard {

/// Writes lines to OUT.partial and renames it to OUT when all are there, so that a file called OUT
/// is always whole. OUT.partial is locked: a second run to the same OUT is refused. Destroyed
/// before finish(), it leaves OUT.partial, unless that is empty, and an OUT of an earlier run as it
/// was. A symbolic link is followed. "-" (standard output) and an OUT that exists and is no regular
/// file, as a pipe or /dev/null, are written directly.
class ResultWriter {
 public:
  /// Opens OUT.partial, empty. Throws Error(kInput) when that is not possible: no result is
  /// computed that cannot be kept.
  explicit ResultWriter(const std::string& output);
  ResultWriter(const ResultWriter&) = delete;
  ResultWriter& operator=(const ResultWriter&) = delete;
  /// Writes what append() still held back; a failure of that is silent, for an error is on its way.
  ~ResultWriter();

  /// Adds `line` and a line end. They are written when a mebibyte has gathered or a second has
  /// passed since the last write. Throws Error(kResource) when writing fails.
  void append(std::string_view line);
  /// Writes what append() held back.
  void flush();
  /// Writes the rest, waits until it is on the disk and renames OUT.partial.meta.json (without one
  /// it removes OUT.meta.json, which belongs to an earlier run) and OUT.partial. Call it once,
  /// last. Throws Error(kResource) when any of that fails; then OUT is as it was before.
  void finish();

 private:
  std::string output_;
  std::string name_;     // for messages
  std::string partial_;  // empty: written directly
  FileHandle file_;
  std::string buffer_;
  std::chrono::steady_clock::time_point last_write_;
};

/// What stands beside results, to tell what they are.
struct RunMeta {
  std::string version;
  std::string numerics;                                      // the numerics id
  std::string fingerprint;                                   // of the checkpoint
  std::vector<std::pair<std::string, std::string>> options;  // in the order they are to stand
};

/// Writes {"version", "numerics", "fingerprint", "options": {...}} to OUT.partial.meta.json, whole
/// or not at all; ResultWriter::finish() makes it OUT.meta.json, so that it always belongs to the
/// OUT beside it. Nothing is written when results go to standard output or to what is no regular
/// file. Throws Error(kInput) when the file cannot be made, Error(kResource) when writing fails.
void write_meta(const std::string& output, const RunMeta& meta);

}  // namespace switchyard
