// The folder that a checkpoint is written into.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/requests/file_handle.h"

namespace switchyard {

/// Rank 0's hold on the folder while a checkpoint is written: no other run may write there.
class OutputFolder {
 public:
  /// Makes the folder and those above it where they are missing, and locks it. Throws
  /// Error(kInput) naming what stands in the way: a file, another run, or a checkpoint, which is
  /// never overwritten.
  explicit OutputFolder(std::string path);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  /// Removes the mark.
  ~OutputFolder();

  /// Throws Error(kResource) unless `bytes` fit beside what is there. What interrupted runs left of
  /// `file_names` is about to be replaced and counts as free.
  void require_space(int64_t bytes, const std::vector<std::string>& file_names) const;

  /// Makes an empty file of a name that never was there before and returns that name: whoever sees
  /// it sees this folder. Throws Error(kInput) if nothing can be written.
  std::string mark();
  /// Removes the mark.
  void unmark();

 private:
  std::string path_;
  FileHandle lock_;
  std::string mark_;  // path; empty: none
};

/// Throws Error(kInput) unless the file of that name, made by rank 0, is in `path` here too.
void require_mark(const std::string& path, const std::string& mark);

}  // namespace switchyard
