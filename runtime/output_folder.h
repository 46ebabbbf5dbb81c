// The folder that a checkpoint is written into.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "parallel/control_channel.h"
#include "runtime/requests/file_handle.h"

namespace switchyard {

/// What a command writes into its folder.
struct OutputNeeds {
  int64_t bytes = 0;
  std::vector<std::string> file_names;
  const char* smaller = "";  // what takes less space, for messages: "a smaller model by --layers"
};

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

  /// Throws Error(kResource) unless it fits beside what is there. What interrupted runs left of
  /// what will be written is about to be replaced and counts as free.
  void require_space(const OutputNeeds& needs) const;

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

/// Takes the folder for this run and proves that all ranks see it. Rank 0 holds the result. All
/// ranks pass the same. Collective; throws AgreedError for what OutputFolder throws.
std::unique_ptr<OutputFolder> take_output_folder(const std::string& path, const OutputNeeds& needs,
                                                 ControlChannel& control);

}  // namespace switchyard
