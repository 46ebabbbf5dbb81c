#include "runtime/output_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "runtime/checkpoint/native_header.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// Is it a file of a checkpoint of the name "model", fairseq's or Hugging Face's, or of a converted
/// one?
bool is_checkpoint_file(const std::string& name) {
  const bool is_model =
      name.starts_with("model.") || name.starts_with("model-") || name.starts_with("pytorch_model");
  const bool is_weights = name.ends_with(".pt") || name.ends_with(".safetensors") ||
                          name.ends_with(".bin") || name.ends_with(".index.json");
  const bool is_converted = name == kNativeHeaderFile || name == kNativeDenseFile ||
                            (name.starts_with("experts-") && name.ends_with(".bin"));
  return is_converted || name == "config.json" || name == "generation_config.json" ||
         (is_model && is_weights);
}

void require_no_checkpoint(const std::string& path) {
  std::error_code error;
  fs::directory_iterator entry(path, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (!is_checkpoint_file(entry->path().filename().string())) continue;
    fail_input(entry->path().string(),
               ": stands there already, and no checkpoint is overwritten; remove it or give "
               "another --output");
  }
  if (error) fail_input(path, ": cannot be listed: ", error.message());
}

/// Bytes on the disk that replacing these files sets free.
int64_t replaceable_bytes(const std::string& path, const std::vector<std::string>& file_names) {
  constexpr int64_t kBlockBytes = 512;  // the unit of st_blocks
  int64_t bytes = 0;
  for (const std::string& name : file_names) {
    struct stat status {};
    const std::string temporary = (fs::path(path) / (name + ".tmp")).string();
    if (stat(temporary.c_str(), &status) == 0) bytes += status.st_blocks * kBlockBytes;
  }
  return bytes;
}

}  // namespace

OutputFolder::OutputFolder(std::string path) : path_(std::move(path)) {
  std::error_code error;
  fs::create_directories(path_, error);
  std::error_code unknown;
  if (error || !fs::is_directory(path_, unknown)) {
    fail_input("cannot make the folder ", path_, " (",
               error ? error.message() : "a file of that name is there",
               "); give another --output");
  }
  lock_ = FileHandle::open(path_, O_RDONLY | O_DIRECTORY);
  // File systems that cannot lock a folder say so with other errors; there nothing is promised.
  if (lock_.is_open() && flock(lock_.descriptor(), LOCK_EX | LOCK_NB) != 0 &&
      errno == EWOULDBLOCK) {
    fail_input(path_, " is being written by another run; wait for it, or give another --output");
  }
  require_no_checkpoint(path_);
}

OutputFolder::~OutputFolder() { unmark(); }

void OutputFolder::require_space(const OutputNeeds& needs) const {
  struct statvfs status {};
  if (statvfs(path_.c_str(), &status) != 0) {
    fail_input(path_, ": its file system cannot be asked for space: ", std::strerror(errno));
  }
  const int64_t available =
      static_cast<int64_t>(status.f_bavail) * static_cast<int64_t>(status.f_frsize) +
      replaceable_bytes(path_, needs.file_names);
  if (needs.bytes <= available) return;
  fail_resource(path_, ": the checkpoint needs ", format_byte_size(needs.bytes), " (", needs.bytes,
                " bytes), and ", format_byte_size(available), " are free there; free space, give ",
                "another --output, or ", needs.smaller);
}

std::string OutputFolder::mark() {
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  const std::string name = concat("switchyard-", getpid(), "-", now, ".tmp");
  mark_ = (fs::path(path_) / name).string();
  if (!FileHandle::open(mark_, O_WRONLY | O_CREAT | O_EXCL).is_open()) {
    fail_input("cannot write ", std::exchange(mark_, {}), " (", std::strerror(errno),
               "): expected a folder that may be written to; give another --output");
  }
  return name;
}

void OutputFolder::unmark() {
  if (!mark_.empty()) unlink(std::exchange(mark_, {}).c_str());
}

namespace {

void require_mark(const std::string& path, const std::string& mark) {
  std::error_code error;
  if (fs::exists(fs::path(path) / mark, error)) return;
  fail_input(path, " is not the folder of that name that rank 0 sees; give an --output that all ",
             "hosts share");
}

}  // namespace

std::unique_ptr<OutputFolder> take_output_folder(const std::string& path, const OutputNeeds& needs,
                                                 ControlChannel& control) {
  constexpr CollectiveLabel kLabel{.phase = "output folder"};
  std::unique_ptr<OutputFolder> folder;
  std::string mark;
  control.agree(
      [&] {
        if (control.rank() != 0) return;
        folder = std::make_unique<OutputFolder>(path);
        folder->require_space(needs);
        mark = folder->mark();
      },
      kLabel);
  mark = control.broadcast(mark, 0, kLabel);
  control.agree([&] { require_mark(path, mark); }, kLabel);
  if (folder) folder->unmark();
  return folder;
}

}  // namespace switchyard
