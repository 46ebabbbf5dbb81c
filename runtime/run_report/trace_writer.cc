#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/base/byte_codec.h"
#include "runtime/run_report/json_builder.h"
#include "runtime/run_report/trace_file.h"
#include "runtime/run_report/trace_format.h"

namespace switchyard {
namespace {

/// Events of one rank that travel at a time: some MiB.
constexpr int64_t kPartEvents = 1 << 15;

/// Text for a file, written when a mebibyte has gathered.
class TraceOutput {
 public:
  explicit TraceOutput(StagedFile& file) : file_(file) {}

  void add_line(const std::string& object) {
    text_ += is_first_ ? "[\n" : ",\n";
    is_first_ = false;
    text_ += object;
    constexpr size_t kMaxHeldBytes = size_t{1} << 20;
    if (text_.size() >= kMaxHeldBytes) flush();
  }

  void finish() {
    text_ += "\n]\n";
    flush();
    file_.close();
    file_.publish();
  }

 private:
  void flush() {
    file_.write_at(offset_, text_);
    offset_ += static_cast<int64_t>(text_.size());
    text_.clear();
  }

  StagedFile& file_;
  std::string text_;
  int64_t offset_ = 0;
  bool is_first_ = true;
};

std::string encode(const std::vector<TraceEvent>& events, double start, size_t begin) {
  ByteWriter writer;
  const size_t end = std::min(events.size(), begin + static_cast<size_t>(kPartEvents));
  for (size_t i = begin; i < end; ++i) {
    const TraceEvent& event = events[i];
    writer.put(event.track);
    writer.put(event.lane);
    writer.put_string(event.name);
    writer.put(event.begin - start);
    writer.put(event.end - start);
    writer.put(event.layer);
    writer.put(event.expert);
    writer.put(event.bytes);
  }
  return writer.bytes();
}

TraceEvent decode_event(ByteReader& reader) {
  TraceEvent event;
  event.track = reader.get<TraceTrack>();
  event.lane = reader.get<int32_t>();
  event.name = reader.get_string();
  event.begin = reader.get<double>();
  event.end = reader.get<double>();
  event.layer = reader.get<int32_t>();
  event.expert = reader.get<int64_t>();
  event.bytes = reader.get<int64_t>();
  return event;
}

std::string name_line(const char* what, size_t rank, int64_t line, const std::string& name) {
  JsonBuilder json;
  json.begin_object().member("name", what).member("ph", "M").member("pid", rank);
  if (line >= 0) json.member("tid", line);
  json.key("args").begin_object().member("name", name).end_object().end_object();
  return json.text();
}

/// Microseconds with three decimals: clocks know no more, and files stay small.
double microseconds(double seconds) { return std::round(seconds * 1e9) / 1e3; }

std::string event_line(const TraceEvent& event, size_t rank) {
  JsonBuilder json;
  json.begin_object().member("name", event.name).member("cat", name_of(event.track));
  json.member("ph", "X").member("ts", microseconds(event.begin));
  json.member("dur", microseconds(std::max(0.0, event.end - event.begin)));
  json.member("pid", rank).member("tid", line_of(event));
  json.key("args").begin_object();
  if (event.layer >= 0) json.member("layer", event.layer);
  if (event.expert >= 0) json.member("expert", event.expert);
  if (event.bytes > 0) json.member("bytes", event.bytes);
  return json.end_object().end_object().text();
}

/// The file's first line, by which it is recognised.
std::string header_line(const TraceContext& context, const std::vector<int64_t>& dropped) {
  JsonBuilder json;
  json.begin_object().member("name", kTraceFormat).member("ph", "M").member("pid", 0);
  json.key("args").begin_object().member("version", kTraceVersion);
  json.member("fingerprint", context.fingerprint).member("dropped", dropped);
  return json.end_object().end_object().text();
}

/// A rank's name and those of its lines, of which there are `num_lanes` for loading.
void add_names(const TraceContext& context, size_t rank, int64_t num_lanes, TraceOutput& output) {
  const std::string& host = context.ranks[rank].host;
  const std::string name = concat("rank ", rank, host.empty() ? "" : concat(" on ", host));
  output.add_line(name_line("process_name", rank, -1, name));
  output.add_line(name_line("thread_name", rank, kComputeLine, "compute"));
  output.add_line(name_line("thread_name", rank, kWaitLine, "wait for experts"));
  for (int64_t lane = 0; lane < num_lanes; ++lane) {
    output.add_line(name_line("thread_name", rank, kFirstLoadLine + lane, concat("load ", lane)));
  }
}

/// What rank 0 knows of each rank before its events come.
struct TraceSize {
  int64_t num_events = 0;
  int64_t num_dropped = 0;
  int64_t num_lanes = 0;
};

TraceSize size_of(const std::vector<TraceEvent>& events, const Trace& trace) {
  TraceSize size{static_cast<int64_t>(events.size()), trace.num_dropped(), 0};
  for (const TraceEvent& event : events) {
    if (event.track == TraceTrack::kLoad) {
      size.num_lanes = std::max(size.num_lanes, int64_t{event.lane} + 1);
    }
  }
  return size;
}

std::vector<TraceSize> share_sizes(const TraceSize& mine, ControlChannel& control) {
  ByteWriter writer;
  writer.put(mine);
  std::vector<TraceSize> sizes;
  for (const std::string& bytes : control.all_gather(writer.bytes(), {.phase = "trace sizes"})) {
    sizes.push_back(ByteReader(bytes).get<TraceSize>());
  }
  return sizes;
}

}  // namespace

void write_trace(const TraceContext& context, const Trace& mine, StagedFile* file,
                 ControlChannel& control) {
  const std::vector<TraceEvent> events = mine.events();
  const std::vector<TraceSize> sizes = share_sizes(size_of(events, mine), control);
  std::optional<TraceOutput> output;
  if (file != nullptr) output.emplace(*file);
  std::vector<int64_t> dropped;
  for (const TraceSize& size : sizes) dropped.push_back(size.num_dropped);
  if (output) output->add_line(header_line(context, dropped));
  for (size_t rank = 0; rank < sizes.size(); ++rank) {
    const bool is_mine = static_cast<int>(rank) == control.rank();
    if (output) add_names(context, rank, sizes[rank].num_lanes, *output);
    for (int64_t begin = 0; begin < sizes[rank].num_events; begin += kPartEvents) {
      const std::vector<std::string> parts = control.gather(
          is_mine ? encode(events, context.start, static_cast<size_t>(begin)) : std::string(), 0,
          {.phase = "gather of the trace"});
      const auto write = [&] {
        if (!output) return;
        ByteReader reader(parts[rank]);
        while (!reader.at_end()) output->add_line(event_line(decode_event(reader), rank));
      };
      control.agree(write, {.phase = "trace file"});
    }
  }
  control.agree(
      [&] {
        if (output) output->finish();
      },
      {.phase = "trace file"});
}

}  // namespace switchyard
