// Lines of a file, and ids that stand twice in it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "runtime/requests/duplicate_ids.h"
#include "runtime/requests/line_reader.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

using Lines = std::vector<std::pair<int64_t, std::string>>;

Lines read_lines(const std::string& path, LineForm form = LineForm::kRecords) {
  LineReader reader(path, form);
  Lines lines;
  while (const auto line = reader.next()) lines.emplace_back(reader.line_number(), *line);
  EXPECT_FALSE(reader.next());
  return lines;
}

TEST(LineReaderTest, CountsLinesAndSkipsBlankOnes) {
  const TempFolder folder;
  const std::string text = "a\r\n\n \t\nb\n\r\nlast";
  const std::string path = folder.write("in", text);
  EXPECT_EQ(read_lines(path), (Lines{{1, "a"}, {4, "b"}, {6, "last"}}));
  EXPECT_EQ(read_lines(folder.write("empty", "")), Lines{});
  EXPECT_EQ(read_lines(folder.write("blank", "\n\n")), Lines{});
}

TEST(LineReaderTest, TextKeepsEveryLineAndKnowsEveryEnd) {
  const TempFolder folder;
  const auto lines = [&](const std::string& text) {
    return read_lines(folder.write("in", text), LineForm::kText);
  };
  EXPECT_EQ(lines("a\r\n\n \t\rb\r\r\nlast"),
            (Lines{{1, "a"}, {2, ""}, {3, " \t"}, {4, "b"}, {5, ""}, {6, "last"}}));
  EXPECT_EQ(lines("a\n"), (Lines{{1, "a"}}));
  EXPECT_EQ(lines("\n"), (Lines{{1, ""}}));
  EXPECT_EQ(lines("\r"), (Lines{{1, ""}}));
  EXPECT_EQ(lines(""), Lines{});
  // Other line ends of Unicode, and U+FEFF, are characters like any other.
  EXPECT_EQ(lines("\xEF\xBB\xBFx\x0B\xE2\x80\xA8y\n"),
            (Lines{{1, "\xEF\xBB\xBFx\x0B\xE2\x80\xA8y"}}));
}

TEST(LineReaderTest, AnEndOfTwoBytesMayStandInTwoBlocks) {
  const TempFolder folder;
  const std::string first((size_t{1} << 18) - 1, 'x');  // "\r" is the last byte of the first block
  const std::string path = folder.write("in", first + "\r\ny\n");
  EXPECT_EQ(read_lines(path, LineForm::kText), (Lines{{1, first}, {2, "y"}}));
  LineReader reader(path, LineForm::kText);
  while (reader.next()) {
  }
  EXPECT_EQ(reader.bytes_done(), static_cast<int64_t>(first.size()) + 4);
}

TEST(LineReaderTest, TellsHowFarItIs) {
  const TempFolder folder;
  LineReader reader(folder.write("in", "one\n\ntwo"));
  EXPECT_EQ(reader.total_bytes(), 8);
  EXPECT_EQ(reader.bytes_done(), 0);
  reader.next();
  EXPECT_EQ(reader.bytes_done(), 4);
  reader.next();
  EXPECT_EQ(reader.bytes_done(), 8);
  EXPECT_EQ(reader.name(), folder.path("in"));
}

TEST(LineReaderTest, LinesLongerThanABlock) {
  const TempFolder folder;
  const std::string first(300000, 'x');
  const std::string second(524288 - 300001 - 1, 'y');  // its end is the end of the second block
  const std::string path = folder.write("in", first + "\n" + second + "\nz\n");
  EXPECT_EQ(read_lines(path), (Lines{{1, first}, {2, second}, {3, "z"}}));
}

TEST(LineReaderTest, LineLengthIsBounded) {
  const TempFolder folder;
  const std::string path = folder.write("in", "12345678\n123456789\n");
  LineReader reader(path, LineForm::kRecords, 8);
  EXPECT_EQ(reader.next(), "12345678");
  expect_error(ErrorKind::kInput, {"in:2", "longer than 8 bytes"}, [&] { reader.next(); });
}

TEST(LineReaderTest, WhatCannotBeRead) {
  const TempFolder folder;
  expect_error(ErrorKind::kInput, {folder.path("absent"), "No such file"},
               [&] { LineReader reader(folder.path("absent")); });
  expect_error(ErrorKind::kInput, {folder.path(""), "directory"},
               [&] { LineReader reader(folder.path("")); });
}

TEST(LineReaderTest, StandardInput) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "a\nb", 3), 3);
  close(ends[1]);
  const int saved = dup(STDIN_FILENO);
  dup2(ends[0], STDIN_FILENO);
  close(ends[0]);
  EXPECT_EQ(read_lines("-"), (Lines{{1, "a"}, {2, "b"}}));
  EXPECT_FALSE(LineReader("-").total_bytes());
  EXPECT_EQ(LineReader("-").name(), "standard input");
  EXPECT_NE(fcntl(STDIN_FILENO, F_GETFD), -1) << "standard input was closed";
  dup2(saved, STDIN_FILENO);
  close(saved);
}

Request make_request(int64_t line, RequestId id) {
  Request request;
  request.line = line;
  request.id = std::move(id);
  return request;
}

TEST(DuplicateIdsTest, ManyDifferentIds) {
  DuplicateIds ids("-", "standard input");
  int64_t line = 0;
  for (int64_t i = -5000; i < 5000; ++i) {
    ids.add(make_request(++line, i));
    ids.add(make_request(++line, std::to_string(i)));  // 5 and "5" are different ids
  }
  std::string zeros;  // these differ in length alone
  for (int i = 0; i < 40; ++i, zeros += '\0') ids.add(make_request(++line, zeros));
  EXPECT_EQ(ids.size(), line);
  for (const RequestId& id : {RequestId(int64_t{-5000}), RequestId("4999"), RequestId("")}) {
    expect_error(ErrorKind::kInput, {"standard input:99999", describe(id), "earlier"},
                 [&] { ids.add(make_request(99999, id)); });
  }
}

TEST(DuplicateIdsTest, TheFirstLineIsFoundInTheFile) {
  const TempFolder folder;
  const std::string path = folder.write("in",
                                        "{\"id\": \"a\", \"text\": \"\"}\n\n"
                                        "{\"id\": \"b\", \"text\": \"\"}\n"
                                        "{\"id\": 7, \"text\": \"\"}\n"
                                        "{\"id\": \"b\", \"text\": \"\"}\n");
  DuplicateIds ids(path, "IN");
  const auto add_all = [&] {
    LineReader reader(path);
    while (const auto line = reader.next()) {
      ids.add(parse_request(*line, reader.line_number(), "IN"));
    }
  };
  expect_error(ErrorKind::kInput, {"IN:5", "\"b\"", "line 3"}, add_all);
  EXPECT_EQ(ids.size(), 3);
}

}  // namespace
}  // namespace switchyard
