#include "runtime/requests/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "runtime/requests/json_text.h"

namespace switchyard {
namespace {

constexpr const char* kPartial = ".partial";
constexpr const char* kMeta = ".meta.json";
constexpr size_t kMaxHeldBytes = size_t{1} << 20;
constexpr std::chrono::seconds kMaxHeldTime{1};

/// Whether the results go somewhere that cannot be renamed: a pipe, a terminal, a device.
bool is_written_directly(const std::string& output) {
  struct stat status {};
  return output == "-" || (stat(output.c_str(), &status) == 0 && !S_ISREG(status.st_mode));
}

[[noreturn]] void fail_open(const std::string& path) {
  fail_input("cannot write ", path, " (", std::strerror(errno),
             "): expected a folder that exists and may be written to; name another with --output");
}

FileHandle open_for_writing(const std::string& path, int flags) {
  FileHandle file = FileHandle::open(path, O_WRONLY | O_TRUNC | flags);
  if (!file.is_open()) fail_open(path);
  return file;
}

/// Whether `path` still names the open file.
bool is_named(const FileHandle& file, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return fstat(file.descriptor(), &opened) == 0 && stat(path.c_str(), &named) == 0 &&
         opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/// Gives a file that is complete, and whose bytes are on the disk, its name. The folder's entry is
/// on the disk when this returns, so that a power cut leaves the old file or the new one.
void publish(FileHandle& file, const std::string& from, const std::string& to) {
  // Renamed while it is still locked: another run must not take it for its own before that.
  rename_file(from, to);
  file.close(to);
  sync_folder_of(to);
}

/// Opens OUT.partial for this run alone. Truncated only once it is locked: it may be growing.
FileHandle open_partial(const std::string& path) {
  // Not through a symbolic link: what it points to is no file of ours.
  FileHandle file = FileHandle::open(path, O_WRONLY | O_CREAT | O_NOFOLLOW);
  if (!file.is_open()) fail_open(path);
  const bool is_locked_elsewhere =
      flock(file.descriptor(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  // Or finished by another run since it was opened: then it is that run's results.
  if (is_locked_elsewhere || !is_named(file, path)) {
    fail_input(path, " is being written by another run; wait for it, or give another --output");
  }
  if (ftruncate(file.descriptor(), 0) != 0) fail_open(path);
  std::error_code ignored;
  std::filesystem::remove(path + kMeta, ignored);
  return file;
}

FileHandle open_output(const std::string& output, const std::string& partial) {
  if (output == "-") return FileHandle::borrow(STDOUT_FILENO);
  if (std::filesystem::path(output).filename().empty()) {
    fail_input("--output is '", output, "', a folder: expected the name of a file in it");
  }
  std::error_code error;
  if (std::filesystem::is_directory(output, error)) {
    fail_input("--output ", output, " is a folder: expected the name of a file");
  }
  if (partial.empty()) return open_for_writing(output, 0);
  return open_partial(partial);
}

/// Where results are to stand: the file that a symbolic link points to, not the link.
std::string resolve(const std::string& output) {
  std::error_code error;
  std::filesystem::path path = output;
  // One step at a time: the last may point to a file that is still to be made.
  constexpr int kMostLinks = 40;  // as the kernel
  for (int i = 0; i < kMostLinks && std::filesystem::is_symlink(path, error); ++i) {
    const std::filesystem::path target = std::filesystem::read_symlink(path, error);
    if (error) return output;
    path = target.is_absolute() ? target : path.parent_path() / target;
  }
  return path.string();
}

void append_member(std::string_view key, std::string_view value, std::string& out) {
  append_json_string(key, out);
  out += ": ";
  append_json_string(value, out);
}

std::string format_meta(const RunMeta& meta) {
  std::string text = "{\n  ";
  append_member("version", meta.version, text);
  text += ",\n  ";
  append_member("numerics", meta.numerics, text);
  text += ",\n  ";
  append_member("fingerprint", meta.fingerprint, text);
  text += ",\n  \"options\": {";
  const char* separator = "\n    ";
  for (const auto& [key, value] : meta.options) {
    text += separator;
    append_member(key, value, text);
    separator = ",\n    ";
  }
  text += meta.options.empty() ? "}\n}\n" : "\n  }\n}\n";
  return text;
}

}  // namespace

ResultWriter::ResultWriter(const std::string& output)
    : output_(resolve(output)),
      partial_(is_written_directly(output_) ? "" : output_ + kPartial),
      file_(open_output(output_, partial_)),
      last_write_(std::chrono::steady_clock::now()) {
  name_ = output == "-" ? "standard output" : partial_.empty() ? output : partial_;
  std::error_code ignored;
  if (!partial_.empty() && std::filesystem::exists(output_, ignored)) {
    log_info(output_, " is there already; it is replaced when the new results are complete");
  }
}

ResultWriter::~ResultWriter() {
  try {
    flush();
  } catch (const Error&) {
  }
  if (partial_.empty() || !file_.is_open()) return;
  struct stat status {};
  if (fstat(file_.descriptor(), &status) == 0 && status.st_size == 0) {
    std::error_code ignored;
    std::filesystem::remove(partial_, ignored);
    std::filesystem::remove(partial_ + kMeta, ignored);
  }
}

void ResultWriter::append(std::string_view line) {
  buffer_ += line;
  buffer_ += '\n';
  const bool is_due = std::chrono::steady_clock::now() - last_write_ >= kMaxHeldTime;
  if (is_due || buffer_.size() >= kMaxHeldBytes) flush();
}

void ResultWriter::flush() {
  last_write_ = std::chrono::steady_clock::now();
  // Taken out first: bytes whose writing failed must not be written again by the destructor.
  const std::string bytes = std::exchange(buffer_, {});
  file_.write_all(bytes, name_);
}

void ResultWriter::finish() {
  flush();
  if (partial_.empty()) {
    file_.close(name_);
  } else {
    const std::string meta = partial_ + kMeta;
    file_.sync(partial_);
    if (!is_named(file_, partial_)) {
      fail_resource(partial_,
                    ": was removed or replaced while it was written; its results are lost, ",
                    "and ", output_, " is as it was. Run again, one run at a time to an output");
    }
    // What stands beside results belongs to them: an earlier run's does not.
    std::error_code ignored;
    if (std::filesystem::exists(meta, ignored)) {
      rename_file(meta, output_ + kMeta);
    } else {
      std::filesystem::remove(output_ + kMeta, ignored);
    }
    publish(file_, partial_, output_);
  }
}

void write_meta(const std::string& output, const RunMeta& meta) {
  if (is_written_directly(output)) return;
  const std::string path = resolve(output) + kPartial + kMeta;
  const std::string written = path + kPartial;
  FileHandle file = open_for_writing(written, O_CREAT);
  try {
    file.write_all(format_meta(meta), written);
    file.sync(written);
  } catch (const Error&) {
    std::error_code ignored;
    std::filesystem::remove(written, ignored);
    throw;
  }
  publish(file, written, path);
}

}  // namespace switchyard
