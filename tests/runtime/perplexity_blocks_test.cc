// How a text is cut into blocks, against small cases by hand and against the reference's own loops.
#include "runtime/perplexity_blocks.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/runtime/byte_tokenizer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

constexpr int32_t kEos = 2;

/// Tokens as text: </s> as |, <s> as ^.
std::string show(const std::vector<int32_t>& ids) {
  std::string text;
  for (const int32_t id : ids) {
    text += id == kEos ? '|' : id == 0 ? '^' : static_cast<char>(id);
  }
  return text;
}

/// "LINE:INPUT>TARGETS" of every block, context before a dot, separated by blanks.
std::string blocks_of(const std::string& text, const BlockRules& rules,
                      TextKind kind = TextKind::kLines) {
  const TempFolder folder;
  const ByteTokenizer tokenizer;
  PassageReader passages(folder.write("in", text), kind, tokenizer, kEos);
  BlockStream blocks(passages, rules);
  std::string all;
  while (const std::optional<TextBlock> block = blocks.next()) {
    const auto context = static_cast<size_t>(block->num_context);
    const std::string input = show(block->input_ids);
    all += concat(all.empty() ? "" : " ", block->line, ":", input.substr(0, context), ".",
                  input.substr(context), ">", show(block->target_ids));
    EXPECT_EQ(block->input_ids.size(), context + block->target_ids.size());
  }
  EXPECT_FALSE(blocks.next());
  return all;
}

BlockRules rules_of(BreakMode mode, int64_t block_size, int64_t window = 0) {
  BlockRules rules;
  rules.break_mode = mode;
  rules.block_size = block_size;
  rules.context_window = window;
  rules.max_positions = 64;
  return rules;
}

TEST(BlockStream, NoneCutsAfterEveryBlockSizeOfTokens) {
  const BlockRules rules = rules_of(BreakMode::kNone, 3);
  EXPECT_EQ(blocks_of("abc\nde\n", rules), "1:.|ab>abc 1:.c|d>|de 2:.e>|");
  EXPECT_EQ(blocks_of("ab\n\ncd\n", rules), "1:.|ab>ab| 2:.||c>|cd 3:.d>|");
  EXPECT_EQ(blocks_of("abcdefg", rules), "1:.|ab>abc 1:.cde>def 1:.fg>g|");
  EXPECT_EQ(blocks_of("", rules), "");
  EXPECT_EQ(blocks_of("\n", rules), "1:.|>|");
}

TEST(BlockStream, CompleteTakesWholeLines) {
  const BlockRules rules = rules_of(BreakMode::kComplete, 5);
  EXPECT_EQ(blocks_of("ab\nc\nd\n", rules), "1:.|ab|c>ab|c| 3:.|d>d|");
  // A line that is longer is a block of its own.
  EXPECT_EQ(blocks_of("a\nbcdefg\nh\n", rules), "1:.|a>a| 2:.|bcdefg>bcdefg| 3:.|h>h|");
  EXPECT_EQ(blocks_of("\n\n\n\n\n\n", rules), "1:.|||||>||||| 6:.|>|");
  EXPECT_EQ(blocks_of("", rules), "");
}

TEST(BlockStream, EosTakesOneLine) {
  const BlockRules rules = rules_of(BreakMode::kEos, 2);
  EXPECT_EQ(blocks_of("abc\n\nd", rules), "1:.|abc>abc| 2:.|>| 3:.|d>d|");
}

TEST(BlockStream, LineEndsAreThoseOfPythonsTextFiles) {
  const BlockRules rules = rules_of(BreakMode::kEos, 2);
  EXPECT_EQ(blocks_of("a\r\nb\rc\n\rd\x0B\r", rules),
            "1:.|a>a| 2:.|b>b| 3:.|c>c| 4:.|>| 5:.|d\x0B>d\x0B|");
}

TEST(BlockStream, AWindowGivesEarlierInputs) {
  EXPECT_EQ(blocks_of("abc\nde\n", rules_of(BreakMode::kNone, 2, 3)),
            "1:.|a>ab 1:|a.bc>c| 2:abc.|d>de 2:c|d.e>|");
  // Whole lines too: the window holds what was read before, </s> of the blocks' beginnings
  // included.
  EXPECT_EQ(blocks_of("ab\nc\n", rules_of(BreakMode::kEos, 3, 2)), "1:.|ab>ab| 2:ab.|c>c|");
  EXPECT_EQ(blocks_of("a\nb\nc\n", rules_of(BreakMode::kEos, 2, 3)),
            "1:.|a>a| 2:|a.|b>b| 3:a|b.|c>c|");
}

TEST(BlockStream, ALongLineMakesItsContextShorter) {
  // Block and context have 3 + 2 rows at most; the line of 5 leaves no room, that of 4 one row.
  EXPECT_EQ(blocks_of("ab\ncdef\ngh\nijk\n", rules_of(BreakMode::kEos, 3, 2)),
            "1:.|ab>ab| 2:.|cdef>cdef| 3:ef.|gh>gh| 4:h.|ijk>ijk|");
}

TEST(BlockStream, ABeginTokenStandsBeforeEveryBlock) {
  BlockRules rules = rules_of(BreakMode::kNone, 3);
  rules.begin_token = 0;
  EXPECT_EQ(blocks_of("abcde\n", rules), "1:^.|ab>abc 1:^.cde>de|");
  // It is an input like any other to the blocks behind; the window loses a row to it.
  rules.context_window = 2;
  EXPECT_EQ(blocks_of("abcde\n", rules), "1:^.|ab>abc 1:b^.cde>de|");
}

TEST(BlockStream, DocumentsKnowNothingOfEachOther) {
  BlockRules rules = rules_of(BreakMode::kNone, 3, 1);
  rules.first_input = 0;
  EXPECT_EQ(blocks_of("{\"text\": \"abcd\", \"id\": {}}\n\n{\"text\": \"\"}\n{\"text\": \"ef\"}\n",
                      rules, TextKind::kDocuments),
            "1:.^ab>abc 1:b.c>d 4:.^e>ef");
  expect_error(ErrorKind::kInput, {"in:2", "text"}, [&] {
    blocks_of("{\"text\": \"a\"}\n{\"txt\": \"b\"}\n", rules, TextKind::kDocuments);
  });
}

TEST(BlockStream, WhatCannotBeReadNamesTheLine) {
  BlockRules rules = rules_of(BreakMode::kEos, 3);
  rules.max_positions = 4;
  EXPECT_EQ(blocks_of("abc\n", rules), "1:.|abc>abc|");
  expect_error(ErrorKind::kInput, {"in:2", "5 tokens", "positions for 4"},
               [&] { blocks_of("a\nbcde\n", rules); });
  rules.begin_token = 0;
  expect_error(ErrorKind::kInput, {"in:1", "positions for 3"}, [&] { blocks_of("abc\n", rules); });
  expect_error(ErrorKind::kInput, {"in:2", "not UTF-8", "byte 1"},
               [&] { blocks_of("a\nb\xFF\n", rules); });
}

/// A block as the reference's data sets give it.
struct ReferenceBlock {
  std::vector<int32_t> input, target;
  size_t start = 0;
};

/// token_block_dataset.py: the slices of the stream of lines.
std::vector<std::pair<size_t, size_t>> reference_slices(
    const std::vector<std::vector<int32_t>>& lines, const BlockRules& rules) {
  std::vector<std::pair<size_t, size_t>> slices;
  const auto size = static_cast<size_t>(rules.block_size);
  size_t total = 0;
  for (const auto& line : lines) total += line.size();
  if (rules.break_mode == BreakMode::kNone) {
    for (size_t at = 0; at < total; at += size) slices.emplace_back(at, std::min(at + size, total));
    return slices;
  }
  size_t begin = 0, current = 0;
  for (size_t i = 0; i < lines.size();) {
    const bool fits = current == 0 || (rules.break_mode == BreakMode::kComplete &&
                                       current + lines[i].size() <= size);
    if (fits) {
      current += lines[i++].size();
    } else {
      slices.emplace_back(begin, begin + current);
      begin += current;
      current = 0;
    }
  }
  if (current > 0) slices.emplace_back(begin, begin + current);
  return slices;
}

/// All three data sets, one sample a batch (lm_context_window_dataset.py for the window).
std::vector<ReferenceBlock> reference_blocks(const std::vector<std::vector<int32_t>>& lines,
                                             const BlockRules& rules) {
  std::vector<int32_t> stream;
  for (const auto& line : lines) stream.insert(stream.end(), line.begin(), line.end());
  std::vector<ReferenceBlock> blocks;
  std::vector<int32_t> previous;
  for (const auto& [begin, end] : reference_slices(lines, rules)) {
    ReferenceBlock block;
    block.target.assign(stream.begin() + begin, stream.begin() + end);
    std::vector<int32_t> source = {begin == 0 ? kEos : stream[begin - 1]};
    source.insert(source.end(), stream.begin() + begin, stream.begin() + end - 1);
    if (rules.begin_token) source.insert(source.begin(), *rules.begin_token);
    const int64_t extra = static_cast<int64_t>(previous.size() + source.size()) -
                          (rules.block_size + rules.context_window);
    if (extra > 0) {
      previous.erase(previous.begin(),
                     previous.begin() + std::min<int64_t>(extra, previous.size()));
    }
    block.start = previous.size() + (rules.begin_token ? 1 : 0);
    block.input = previous;
    block.input.insert(block.input.end(), source.begin(), source.end());
    const size_t kept = std::min<size_t>(rules.context_window, block.input.size());
    previous.assign(block.input.end() - kept, block.input.end());
    blocks.push_back(std::move(block));
  }
  return blocks;
}

TEST(BlockStream, EqualsTheReferencesLoopsOnRandomTexts) {
  const TempFolder folder;
  const ByteTokenizer tokenizer;
  std::mt19937 random(7);
  const auto upto = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  for (int round = 0; round < 600; ++round) {
    std::string text;
    std::vector<std::vector<int32_t>> lines(static_cast<size_t>(upto(8)));
    for (auto& line : lines) {
      for (int left = upto(9); left > 0; --left) line.push_back('a' + upto(25));
      text.append(line.begin(), line.end());
      text += '\n';
      line.push_back(kEos);
    }
    BlockRules rules =
        rules_of(static_cast<BreakMode>(upto(2)), 1 + upto(7), upto(1) == 0 ? 0 : upto(6));
    if (upto(3) == 0) rules.begin_token = 0;
    PassageReader passages(folder.write("in", text), TextKind::kLines, tokenizer, kEos);
    BlockStream blocks(passages, rules);
    for (const ReferenceBlock& expected : reference_blocks(lines, rules)) {
      const std::optional<TextBlock> block = blocks.next();
      ASSERT_TRUE(block) << round;
      EXPECT_EQ(show(block->input_ids), show(expected.input)) << round;
      EXPECT_EQ(show(block->target_ids), show(expected.target)) << round;
      EXPECT_EQ(block->num_context, static_cast<int64_t>(expected.start)) << round;
    }
    EXPECT_FALSE(blocks.next()) << round;
    EXPECT_EQ(passages.num_bytes(), static_cast<int64_t>(text.size()));
  }
}

/// Positions, rows and pads of every unit.
std::string units_of(const std::string& text, const BlockRules& rules) {
  const TempFolder folder;
  const ByteTokenizer tokenizer;
  const std::string path = folder.write("in", text);
  PassageReader passages(path, TextKind::kLines, tokenizer, kEos);
  BlockUnits units(passages, rules);
  RequestSummary summary{0, 0, 0, 0};
  std::string all;
  int64_t number = 0;
  while (const std::optional<BlockUnit> unit = units.next()) {
    all += concat(all.empty() ? "" : " ", unit->unit.capacity_positions, ":");
    EXPECT_EQ(unit->lines.size(), unit->unit.sequences.size());
    int64_t rows = 0;
    for (const StepSequence& sequence : unit->unit.sequences) {
      EXPECT_EQ(sequence.sequence, number++);
      all += concat(sequence.input_ids.size(), "+", sequence.num_pads, ",");
      rows += sequence.num_rows();
    }
    EXPECT_LE(rows, unknown_blocks(rules).largest_unit_rows);
    summary.total_rows += rows;
    summary.largest_unit_rows = std::max(summary.largest_unit_rows, rows);
  }
  PassageReader again(path, TextKind::kLines, tokenizer, kEos);
  const RequestSummary counted = count_blocks(again, rules);
  EXPECT_EQ(counted.num_requests, number);
  EXPECT_EQ(counted.total_rows, summary.total_rows);
  EXPECT_EQ(counted.largest_unit_rows, summary.largest_unit_rows);
  return all;
}

TEST(BlockUnits, ACapacityPadsEveryBlockToTheSameRows) {
  BlockRules rules = rules_of(BreakMode::kNone, 4);
  EXPECT_EQ(units_of("abcdef\n", rules), "0:4+0, 0:3+0,");
  rules.capacity = CapacityShape{.fraction = 0.5, .pad_rows_to = 4};
  EXPECT_EQ(units_of("abcdef\n", rules), "4:4+0, 4:3+1,");
  rules.capacity->batch_size = 2;
  EXPECT_EQ(units_of("abcdefghi\n", rules), "8:4+0,4+0, 4:2+2,");
  rules.capacity->pad_batch_to = 3;
  EXPECT_EQ(units_of("abcdefghi\n", rules), "12:4+0,4+0, 12:2+2,");
}

TEST(BlockUnits, AWindowIsPaddedWhereThereIsNoContextYet) {
  BlockRules rules = rules_of(BreakMode::kNone, 3, 2);
  rules.capacity = CapacityShape{.pad_rows_to = 5};
  EXPECT_EQ(units_of("abcdef\n", rules), "5:3+2, 5:5+0, 5:3+2,");
  // A line that is longer than a block is followed by pads for all of the window.
  rules = rules_of(BreakMode::kEos, 3, 2);
  rules.capacity = CapacityShape{.pad_rows_to = 5};
  EXPECT_EQ(units_of("a\nbcde\nf\n", rules), "5:2+3, 7:5+2, 5:4+1,");
}

ModelConfig small_config() {
  ModelConfig config;
  config.trained_positions = 16;
  return config;
}

TEST(BlockRulesOf, TheModelGivesDefaultsAndLimits) {
  PerplexityOptions options;
  options.input = "in.txt";
  ModelConfig config = small_config();
  const auto make = [&](TextKind kind = TextKind::kLines) {
    return make_block_rules(options, config, kind, std::nullopt);
  };
  EXPECT_EQ(make().block_size, 16);
  EXPECT_EQ(make().first_input, 2);
  EXPECT_FALSE(make().begin_token);
  options.context_window = 4;
  EXPECT_EQ(make().block_size, 12);
  options.context_window = 16;
  expect_error(ErrorKind::kUsage, {"--context-window 16"}, make);
  options.context_window = 0;
  options.tokens_per_sample = 17;
  expect_error(ErrorKind::kUsage, {"--tokens-per-sample 17", "16"}, make);
  options.tokens_per_sample = 0;
  config.start_token = 0;
  EXPECT_EQ(make().block_size, 15);
  EXPECT_EQ(make().begin_token, 0);
  EXPECT_EQ(make(TextKind::kDocuments).block_size, 16);
  EXPECT_EQ(make(TextKind::kDocuments).first_input, 0);
  EXPECT_FALSE(make(TextKind::kDocuments).begin_token);
  options.break_mode = BreakMode::kEos;
  expect_error(ErrorKind::kUsage, {"--break-mode", "documents"},
               [&] { make(TextKind::kDocuments); });
}

TEST(BlockRulesOf, ACapacityPadsToTheWholeSample) {
  PerplexityOptions options;
  options.input = "in.txt";
  options.tokens_per_sample = 10;
  options.context_window = 3;
  const BlockRules rules =
      make_block_rules(options, small_config(), TextKind::kLines, CapacityShape{});
  EXPECT_EQ(rules.block_size, 7);
  EXPECT_EQ(rules.capacity->pad_rows_to, 10);
}

TEST(TextKindOf, DocumentsAreToldByTheName) {
  EXPECT_EQ(text_kind_of("a.jsonl"), TextKind::kDocuments);
  EXPECT_EQ(text_kind_of("a.json"), TextKind::kLines);
  EXPECT_EQ(text_kind_of("-"), TextKind::kLines);
}

}  // namespace
}  // namespace switchyard
