#include <limits>
#include <optional>

#include "runtime/checkpoint/untrusted_json.h"
#include "runtime/requests/line_reader.h"
#include "runtime/run_report/trace_file.h"
#include "runtime/run_report/trace_format.h"
#include "runtime/tokenizer/json/json_node.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxLanes = 1 << 12;      // above any number of threads
constexpr int64_t kMaxLayers = 1 << 16;     // above any model
constexpr int64_t kMaxLineBytes = 1 << 20;  // the header of 65,536 ranks
constexpr double kSecondsPerUnit = 1e-6;

constexpr char kExpected[] =
    "; expected a trace as --trace writes it: a line '[', then one event a line, then a line ']'";

int64_t count(const JsonNode& args, std::string_view name, int64_t by_default, int64_t high) {
  const std::optional<JsonNode> node = args.find(name);
  return node ? node->integer(0, high) : by_default;
}

TraceEvent read_event(const JsonNode& node) {
  TraceEvent event;
  event.name = node.at("name").text();
  event.begin = node.at("ts").number() * kSecondsPerUnit;
  event.end = event.begin + node.at("dur").number() * kSecondsPerUnit;
  const int64_t line = node.at("tid").integer(0, kFirstLoadLine + kMaxLanes);
  event.track = line == kComputeLine ? TraceTrack::kCompute
                : line == kWaitLine  ? TraceTrack::kWait
                                     : TraceTrack::kLoad;
  if (line >= kFirstLoadLine) event.lane = static_cast<int32_t>(line - kFirstLoadLine);
  const JsonNode args = node.at("args");
  event.layer = static_cast<int32_t>(count(args, "layer", -1, kMaxLayers));
  event.expert = count(args, "expert", -1, std::numeric_limits<int32_t>::max());
  event.bytes = count(args, "bytes", 0, std::numeric_limits<int64_t>::max());
  return event;
}

class TraceReader {
 public:
  explicit TraceReader(const std::string& path)
      : path_(path), lines_(path, LineForm::kRecords, kMaxLineBytes) {
    file_.path = path;
  }

  TraceFile read() {
    if (line() != "[") fail("is no trace");
    read_header(line());
    std::string text = line();
    for (; text != "]"; text = line()) read_line(text);
    if (lines_.next()) fail("goes on behind its end");
    return std::move(file_);
  }

 private:
  template <typename... Parts>
  [[noreturn]] void fail(Parts&&... parts) const {
    fail_input(path_, ":", lines_.line_number(), ": ", std::forward<Parts>(parts)..., kExpected);
  }

  /// The next line without the comma that ends it.
  std::string line() {
    const std::optional<std::string_view> next = lines_.next();
    if (!next) fail("ends early");
    std::string text(*next);
    if (text.ends_with(',')) text.pop_back();
    return text;
  }

  boost::json::value parse(const std::string& text) const {
    return parse_untrusted_json(text, place());
  }
  std::string place() const { return concat(path_, ":", lines_.line_number()); }

  void read_header(const std::string& text) {
    const boost::json::value value = parse(text);
    const JsonNode node(value, place() + ":");
    const boost::json::value* name =
        value.is_object() ? value.get_object().if_contains("name") : nullptr;
    if (name == nullptr || *name != boost::json::string_view(kTraceFormat)) {
      fail("is no trace of this program");
    }
    const JsonNode args = node.at("args");
    if (args.at("version").integer(0, std::numeric_limits<int64_t>::max()) != kTraceVersion) {
      fail("is a trace of another version than ", kTraceVersion);
    }
    file_.fingerprint = args.at("fingerprint").text();
    for (const JsonNode& dropped : args.at("dropped").items()) {
      file_.ranks.emplace_back().num_dropped =
          dropped.integer(0, std::numeric_limits<int64_t>::max());
    }
    if (file_.ranks.empty()) fail("is a trace of no rank");
  }

  void read_line(const std::string& text) {
    const boost::json::value value = parse(text);
    const JsonNode node(value, place() + ":");
    const int64_t last_rank = static_cast<int64_t>(file_.ranks.size()) - 1;
    RankTrace& rank = file_.ranks[static_cast<size_t>(node.at("pid").integer(0, last_rank))];
    const std::string_view kind = node.at("ph").text();
    if (kind == "M") {
      if (node.at("name").text() == "process_name") rank.name = node.at("args").at("name").text();
    } else if (kind == "X") {
      if (++num_events_ > kMaxFileEvents) {
        fail("holds more than ", kMaxFileEvents, " events; trace a shorter run");
      }
      rank.events.push_back(read_event(node));
    } else {
      node.at("ph").refuse("expected M or X");
    }
  }

  std::string path_;
  LineReader lines_;
  TraceFile file_;
  size_t num_events_ = 0;
};

}  // namespace

TraceFile read_trace_file(const std::string& path) { return TraceReader(path).read(); }

}  // namespace switchyard
