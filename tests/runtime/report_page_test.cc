// Pages about runs: whole, well-formed, and about what they are about.
#include "runtime/run_report/report_page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <regex>

#include "parallel/thread_communicator.h"
#include "runtime/run_report/html_text.h"
#include "runtime/run_report/report.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/stats_case.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

using testing::HasSubstr;
using testing::Not;

/// Empty if every element of an XML text is closed in its turn, else what is wrong.
std::string xml_fault(const std::string& text) {
  static const std::regex kTag(R"(<(/?)([A-Za-z!][\w]*)((?:[^<>"]|"[^<"]*")*?)(/?)>)");
  std::vector<std::string> open;
  size_t behind = 0;
  for (std::sregex_iterator tag(text.begin(), text.end(), kTag), end; tag != end; ++tag) {
    const std::string between = text.substr(behind, static_cast<size_t>(tag->position()) - behind);
    if (between.find('<') != between.npos) return "a bare < in: " + between;
    behind = static_cast<size_t>(tag->position() + tag->length());
    const std::string name = (*tag)[2];
    if (name.starts_with('!') || (*tag)[4].length() > 0) continue;
    if ((*tag)[1].length() == 0) {
      open.push_back(name);
    } else if (open.empty() || open.back() != name) {
      return concat("</", name, "> closes ", open.empty() ? "nothing" : open.back());
    } else {
      open.pop_back();
    }
  }
  static const std::regex kReference("&(?!(amp|lt|gt|quot);)");
  if (std::regex_search(text, kReference)) return "a bare &";
  return open.empty() ? "" : open.back() + " stays open";
}

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TraceFile small_trace(int num_ranks, int num_steps) {
  TraceFile trace{"trace.json", "abc", {}};
  for (int rank = 0; rank < num_ranks; ++rank) {
    RankTrace& r = trace.ranks.emplace_back();
    for (int step = 0; step < num_steps; ++step) {
      const double t = 0.01 * step;
      r.events.push_back({TraceTrack::kCompute, 0, "attention", t, t + 0.004, 1});
      r.events.push_back({TraceTrack::kCompute, 0, "experts", t + 0.004, t + 0.009, 1});
      r.events.push_back({TraceTrack::kWait, 0, "wait", t + 0.005, t + 0.006, 1, 7});
      r.events.push_back({TraceTrack::kLoad, 1, "file", t, t + 0.006, 1, 7, 1 << 20});
    }
  }
  return trace;
}

TEST(XmlFault, IsFound) {
  EXPECT_EQ(xml_fault("<!DOCTYPE html><a b=\"1 > 0\"><c/>text &amp; more</a>"), "");
  EXPECT_EQ(xml_fault("<a><b></a>"), "</a> closes b");
  EXPECT_EQ(xml_fault("<a>"), "a stays open");
  EXPECT_EQ(xml_fault("</a>"), "</a> closes nothing");
  EXPECT_EQ(xml_fault("<a>b & c</a>"), "a bare &");
  EXPECT_NE(xml_fault("<a>1 < 2</a>"), "");
}

TEST(HtmlText, IsEscapedAndForPeople) {
  EXPECT_EQ(escape_html("<a href=\"x\">&\n</a>"),
            "&lt;a href=&quot;x&quot;&gt;&amp;\uFFFD&lt;/a&gt;");
  EXPECT_EQ(format_count(-1234567), "-1\u202F234\u202F567");
  EXPECT_EQ(format_count(-123), "-123");
  EXPECT_EQ(format_place(12.5), "12.5");
  EXPECT_EQ(format_place(-0.001), "0");
  EXPECT_EQ(format_place(100.0), "100");
  EXPECT_EQ(format_seconds(0.0), "0.00 s");
  EXPECT_EQ(format_seconds(0.0125), "12.50 ms");
  EXPECT_EQ(format_seconds(2.5e-5), "25.0 us");
  EXPECT_EQ(tick_step(10.0, 10), 1.0);
  EXPECT_EQ(tick_step(11.0, 10), 2.0);
  EXPECT_DOUBLE_EQ(tick_step(0.3, 10), 0.05);
  EXPECT_EQ(tick_step(0.0, 10), 1.0);
  EXPECT_THAT(html_table({"name", "count"}, {{"<a>", "12"}, {"b", "-"}}),
              HasSubstr("<td>&lt;a&gt;</td><td class=\"n\">12</td>"));
}

TEST(ReportPage, ShowsRunsAndTracesWithoutAnythingFromElsewhere) {
  StatsFile stats = small_stats();
  stats.run.model = "/models/<tiny> & \"more\"";
  stats.ranks[0].host = "</td><script>";
  const std::string page = format_report_page({stats}, {small_trace(2, 10)}, std::nullopt);
  EXPECT_EQ(xml_fault(page), "");
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("src=")));
  EXPECT_THAT(page, Not(HasSubstr("url(")));
  EXPECT_THAT(page, HasSubstr("/models/&lt;tiny&gt; &amp; &quot;more&quot;"));
  EXPECT_THAT(page, HasSubstr("layer 3, expert 3, rank 1: 40 uses (1.60 x mean), 80 rows, 50.0 %"));
  EXPECT_THAT(page, HasSubstr("this run: 49.1 % at 50.0 %"));  // 54 of 110
  EXPECT_THAT(page, HasSubstr("rank 0, experts: 500.00 ms"));
  EXPECT_THAT(page, HasSubstr("load from file, layer 1, expert 7: 6.00 ms from 0.00 s, 1.0 MiB"));
  EXPECT_EQ(count_of(page, "<svg"), 6u);
  EXPECT_EQ(count_of(page, "expert 7: 6.00 ms"), 20u);
}

TEST(ReportPage, IsReadableForSmallAndLargeModels) {
  for (const int64_t num_experts : {2, 8, 256}) {
    StatsFile stats = small_stats(num_experts);
    const std::string page = format_report_page({stats}, {}, std::nullopt);
    EXPECT_EQ(xml_fault(page), "");
    const std::string map = draw_heat_map(stats);
    // A cell each, the legend's eleven colours.
    EXPECT_EQ(count_of(map, "<rect"), static_cast<size_t>(2 * num_experts + 11));
    std::smatch width;
    ASSERT_TRUE(std::regex_search(map, width, std::regex("width=\"([0-9.]+)\"")));
    EXPECT_LE(std::stod(width[1]), 1100.0);
    EXPECT_GE(std::stod(width[1]), 500.0);
  }
}

TEST(ReportPage, CopiesOfAnExpertAreCountedTogether) {
  StatsFile stats = small_stats();
  stats.ranks[1].cache.expert_ids[0] = {0, 3};
  EXPECT_THAT(draw_heat_map(stats), HasSubstr("expert 0, ranks 0 1: 4 uses"));
  EXPECT_THAT(draw_heat_map(stats), HasSubstr("expert 2, no rank: 0 uses"));
}

TEST(ReportPage, CurvesHaveOnePointForEachSize) {
  const std::string chart = draw_hit_rates(small_stats());
  // Each rank has four experts: five sizes of five curves, and the legend.
  EXPECT_EQ(count_of(chart, "<circle"), 5u * 5u + 5u);
  EXPECT_THAT(chart, HasSubstr("lru, 0.0 % slots: 0.0 % hits"));
  EXPECT_THAT(chart, HasSubstr("uniform routing, 25.0 % slots: 25.0 % hits"));
  // Three of the four experts of each rank's log are used, 60 times: three cold misses.
  EXPECT_THAT(chart, HasSubstr("lru, 100.0 % slots: 93.3 % hits"));
  EXPECT_THAT(chart, HasSubstr("belong to layers"));
  StatsFile unlogged = small_stats();
  for (RankStats& rank : unlogged.ranks) rank.cache.log.clear();
  EXPECT_EQ(draw_hit_rates(unlogged), "");
}

TEST(ReportPage, RunsWithoutExpertsOrUsesSaySo) {
  StatsFile unrecorded = small_stats();
  for (RankStats& rank : unrecorded.ranks) rank.cache = {};
  EXPECT_THAT(format_report_page({unrecorded}, {}, std::nullopt),
              HasSubstr("No use of an expert was recorded"));
  StatsFile dense = unrecorded;
  dense.run.moe_layers.clear();
  dense.run.num_experts.clear();
  const std::string page = format_report_page({dense}, {}, std::nullopt);
  EXPECT_THAT(page, HasSubstr("has no experts"));
  EXPECT_EQ(xml_fault(page), "");
}

TEST(ReportPage, DifferentModelsAreTold) {
  StatsFile other = small_stats(8);
  other.run.fingerprint = "def";
  EXPECT_THAT(format_report_page({small_stats(), other}, {}, std::nullopt),
              HasSubstr("runs of 2 checkpoints"));
  EXPECT_THAT(format_report_page({small_stats(), small_stats()}, {}, std::nullopt),
              Not(HasSubstr("checkpoints:")));
  EXPECT_THAT(format_report_page({other}, {small_trace(1, 1)}, std::nullopt),
              HasSubstr("none of the runs above"));
}

TEST(Timeline, AWindowIsAsAskedOrNotTooFull) {
  const TraceFile trace = small_trace(3, 5000);
  const std::string chosen = draw_timeline(trace, std::nullopt);
  EXPECT_EQ(xml_fault("<p>" + chosen + "</p>"), "");
  EXPECT_LE(count_of(chosen, "expert 7: "), 3000u);
  EXPECT_GE(count_of(chosen, "expert 7: "), 1000u);
  const std::string asked = draw_timeline(trace, TimeWindow{1.0, 1.02});
  EXPECT_THAT(asked, HasSubstr("<h3>1.00 s to 1.02 s</h3>"));
  EXPECT_EQ(count_of(asked, "load from file, "), 3u * 2u);
  EXPECT_THAT(draw_timeline(trace, TimeWindow{0.0, 50.0}), HasSubstr("give a shorter window"));
  EXPECT_THAT(draw_timeline(small_trace(40, 2), std::nullopt), HasSubstr("The first 16 of 40"));
  TraceFile dropped = small_trace(1, 1);
  dropped.ranks[0].num_dropped = 5;
  EXPECT_THAT(draw_timeline(dropped, std::nullopt), HasSubstr("no room for 5"));
  const TraceFile empty{"trace.json", "abc", {{"rank 0", {}, 0}}};
  EXPECT_EQ(xml_fault("<p>" + draw_timeline(empty, std::nullopt) + "</p>"), "");
}

TEST(Report, ReadsFilesAndWritesAPage) {
  const TempFolder folder;
  ReportOptions options;
  options.output = folder.path("page.html");
  const auto run = [&] {
    run_as_threads({}, [&](Backend& backend, Communicator& world, ProgressSink&) {
      ControlChannel control(backend, world);
      run_report(options, control);
    });
  };
  const std::string stats = folder.write("stats.json", format_stats(small_stats()));
  options.files = {stats, stats};
  run();
  EXPECT_TRUE(folder.read("page.html").ends_with("</body>\n</html>\n"));
  EXPECT_EQ(count_of(folder.read("page.html"), "<section>"), 2u);
  options.output = stats;
  expect_error(ErrorKind::kUsage, {"stats.json would overwrite"}, run);
  options.output = folder.path("page.html");
  options.files = {folder.write("results.jsonl", "x")};
  expect_error(ErrorKind::kInput, {"results.jsonl: is neither statistics nor a trace"}, run);
  options.files = {folder.path("absent.json")};
  expect_error(ErrorKind::kInput, {"cannot read", "absent.json", "--trace"}, run);
  options.files = {folder.path("")};
  expect_error(ErrorKind::kInput, {"cannot read"}, run);
}

}  // namespace
}  // namespace switchyard
