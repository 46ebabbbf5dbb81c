// Results reach the disk whole or not under their name.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <string>

#include "runtime/requests/journal.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

bool exists(const std::string& path) { return std::filesystem::exists(path); }

/// Files cannot grow beyond `bytes` while this lives: writing fails as on a full disk.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) : old_handler_(signal(SIGXFSZ, SIG_IGN)) {
    getrlimit(RLIMIT_FSIZE, &old_);
    const rlimit limit = {bytes, old_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &old_);
    signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int);
};

TEST(ResultWriterTest, NamesTheFileAtTheEnd) {
  const TempFolder folder;
  ResultWriter writer(folder.path("out"));
  EXPECT_TRUE(exists(folder.path("out.partial")));
  writer.append("one");
  writer.append("");
  writer.flush();
  EXPECT_EQ(folder.read("out.partial"), "one\n\n");
  writer.append("two");
  EXPECT_FALSE(exists(folder.path("out")));
  writer.finish();
  EXPECT_EQ(folder.read("out"), "one\n\ntwo\n");
  EXPECT_FALSE(exists(folder.path("out.partial")));
}

TEST(ResultWriterTest, AnotherRunsFileIsNeverTakenForItsOwn) {
  const TempFolder folder;
  folder.write("out", "old");
  ResultWriter writer(folder.path("out"));
  writer.append("mine");
  std::filesystem::remove(folder.path("out.partial"));
  ResultWriter other(folder.path("out"));
  other.append("other");
  other.flush();
  expect_error(ErrorKind::kResource, {"out.partial", "replaced"}, [&] { writer.finish(); });
  EXPECT_EQ(folder.read("out"), "old");
  other.finish();
  EXPECT_EQ(folder.read("out"), "other\n");
}

TEST(ResultWriterTest, LinksAreFollowedAlsoToWhatIsStillToBeMade) {
  const TempFolder folder;
  std::filesystem::create_directory(folder.path("disk"));
  std::filesystem::create_symlink("disk/results", folder.path("link"));
  ResultWriter writer(folder.path("link"));
  writer.append("one");
  writer.finish();
  EXPECT_TRUE(std::filesystem::is_symlink(folder.path("link")));
  EXPECT_EQ(folder.read("disk/results"), "one\n");
  // What OUT.partial points to is nobody's to be emptied.
  folder.write("precious", "text");
  std::filesystem::create_symlink("precious", folder.path("next.partial"));
  expect_error(ErrorKind::kInput, {"next.partial"}, [&] { ResultWriter(folder.path("next")); });
  EXPECT_EQ(folder.read("precious"), "text");
}

TEST(ResultWriterTest, WithoutResultsTheFileIsEmpty) {
  const TempFolder folder;
  ResultWriter(folder.path("out")).finish();
  EXPECT_EQ(folder.read("out"), "");
}

TEST(ResultWriterTest, UnfinishedLeavesTheOldFile) {
  const TempFolder folder;
  folder.write("out", "old\n");
  folder.write("out.partial", "of an earlier run, longer than what follows\n");
  {
    ResultWriter writer(folder.path("out"));
    writer.append("new");
  }
  EXPECT_EQ(folder.read("out"), "old\n");
  EXPECT_EQ(folder.read("out.partial"), "new\n");
  ResultWriter writer(folder.path("out"));
  writer.append("newer");
  writer.finish();
  EXPECT_EQ(folder.read("out"), "newer\n");
}

TEST(ResultWriterTest, WritesWhenAMebibyteHasGathered) {
  const TempFolder folder;
  ResultWriter writer(folder.path("out"));
  const std::string line((1 << 20) - 1, 'x');
  writer.append(line);
  EXPECT_EQ(folder.read("out.partial"), line + "\n");
}

TEST(ResultWriterTest, FoldersAreCheckedFirst) {
  const TempFolder folder;
  expect_error(ErrorKind::kInput, {folder.path("absent/out.partial"), "No such file", "--output"},
               [&] { ResultWriter writer(folder.path("absent/out")); });
  std::filesystem::create_directory(folder.path("taken"));
  for (const char* output : {"taken", "taken/"}) {
    expect_error(ErrorKind::kInput, {folder.path(output), "folder"},
                 [&] { ResultWriter writer(folder.path(output)); });
  }
  expect_error(ErrorKind::kInput, {"folder"}, [] { ResultWriter writer(""); });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path("taken")));
}

TEST(ResultWriterTest, FoldersWithoutPermission) {
  if (geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  const TempFolder folder;
  std::filesystem::create_directory(folder.path("closed"));
  chmod(folder.path("closed").c_str(), 0500);
  expect_error(ErrorKind::kInput, {"closed/out", "Permission denied"},
               [&] { ResultWriter writer(folder.path("closed/out")); });
}

TEST(ResultWriterTest, FullDiskLeavesNoResult) {
  const TempFolder folder;
  ResultWriter writer(folder.path("out"));
  const std::string line(50000, 'x');
  {
    const FileSizeLimit limit(60000);
    writer.append(line);
    writer.append(line);
    expect_error(ErrorKind::kResource, {folder.path("out.partial"), "File too large", "free space"},
                 [&] { writer.finish(); });
  }
  EXPECT_FALSE(exists(folder.path("out")));
}

TEST(ResultWriterTest, FullDevice) {
  if (!exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  ResultWriter writer("/dev/full");
  writer.append("one");
  expect_error(ErrorKind::kResource, {"/dev/full", "No space left on device", "free space"},
               [&] { writer.flush(); });
  EXPECT_FALSE(exists("/dev/full.partial"));
}

TEST(ResultWriterTest, PipesAreWrittenDirectly) {
  const TempFolder folder;
  const std::string path = folder.path("pipe");
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const FileHandle reader = FileHandle::open(path, O_RDONLY | O_NONBLOCK);
  ResultWriter writer(path);
  writer.append("one");
  writer.finish();
  char text[16] = {};
  EXPECT_EQ(read(reader.descriptor(), text, sizeof text), 4);
  EXPECT_STREQ(text, "one\n");
  EXPECT_TRUE(std::filesystem::is_fifo(path));
  write_meta(path, RunMeta{});
  EXPECT_FALSE(exists(path + ".meta.json"));
}

TEST(ResultWriterTest, StandardOutput) {
  const TempFolder folder;
  const FileHandle file = FileHandle::open(folder.path("stdout"), O_WRONLY | O_CREAT);
  const int saved = dup(STDOUT_FILENO);
  dup2(file.descriptor(), STDOUT_FILENO);
  ResultWriter writer("-");
  writer.append("one");
  writer.finish();
  dup2(saved, STDOUT_FILENO);
  close(saved);
  EXPECT_EQ(folder.read("stdout"), "one\n");
  write_meta("-", RunMeta{});
  EXPECT_FALSE(exists("-.meta.json"));
}

TEST(WriteMetaTest, KeysInOrder) {
  const TempFolder folder;
  const RunMeta meta = {"1.2", "cpu-fp32", "f00", {{"model", "a \"b\""}, {"input", "in"}}};
  write_meta(folder.path("out"), meta);
  const std::string text = folder.read("out.partial.meta.json");
  EXPECT_EQ(text,
            "{\n  \"version\": \"1.2\",\n  \"numerics\": \"cpu-fp32\",\n  \"fingerprint\": \"f00\","
            "\n  \"options\": {\n    \"model\": \"a \\\"b\\\"\",\n    \"input\": \"in\"\n  }\n}\n");
  EXPECT_EQ(boost::json::parse(text).at("options").at("model").as_string(), "a \"b\"");
  EXPECT_FALSE(exists(folder.path("out.partial.meta.json.partial")));
  write_meta(folder.path("out"), RunMeta{});
  EXPECT_EQ(
      boost::json::parse(folder.read("out.partial.meta.json")).at("options").as_object().size(),
      0u);
}

TEST(WriteMetaTest, BelongsToTheResultsBesideIt) {
  const TempFolder folder;
  folder.write("out", "old results");
  folder.write("out.meta.json", "old meta");
  ResultWriter writer(folder.path("out"));
  write_meta(folder.path("out"), {"2.0", "", "", {}});
  EXPECT_EQ(folder.read("out.meta.json"), "old meta");
  writer.append("new results");
  writer.finish();
  EXPECT_EQ(folder.read("out"), "new results\n");
  EXPECT_NE(folder.read("out.meta.json").find("2.0"), std::string::npos);
  EXPECT_FALSE(exists(folder.path("out.partial.meta.json")));
}

TEST(WriteMetaTest, FailuresAreNamed) {
  const TempFolder folder;
  expect_error(ErrorKind::kInput, {folder.path("absent/out.partial.meta.json")},
               [&] { write_meta(folder.path("absent/out"), RunMeta{}); });
  folder.write("out.partial.meta.json", "old");
  const RunMeta meta = {std::string(1000, 'v'), "", "", {}};
  {
    const FileSizeLimit limit(500);
    expect_error(ErrorKind::kResource, {folder.path("out.partial.meta.json"), "File too large"},
                 [&] { write_meta(folder.path("out"), meta); });
  }
  EXPECT_EQ(folder.read("out.partial.meta.json"), "old");
}

}  // namespace
}  // namespace switchyard
