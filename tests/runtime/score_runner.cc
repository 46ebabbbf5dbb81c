#include "tests/runtime/score_runner.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "parallel/thread_communicator.h"

namespace switchyard {

namespace json = boost::json;

namespace {

std::vector<json::value> parse_lines(std::istream& lines) {
  std::vector<json::value> values;
  for (std::string line; std::getline(lines, line);) {
    if (!line.empty()) values.push_back(json::parse(line));
  }
  return values;
}

}  // namespace

std::string ScoreSetup::text() const {
  return concat(model, "/", input, " on ", num_ranks, " ranks of ", num_threads,
                " threads, batches of ", max_batch_tokens, ", exchange buffers of ",
                exchange_buffer_bytes, " bytes, backend ", static_cast<int>(backend),
                ", instruction set ", static_cast<int>(instruction_set), ", seed ", seed, ", ",
                tiers.expert_slots.value_or(0), " slots, policy ", static_cast<int>(tiers.policy),
                ", scope ", static_cast<int>(tiers.scope), ", prefetch ",
                static_cast<int>(tiers.prefetch), ", host budget ", tiers.host_budget);
}

std::string test_data(const std::string& path) {
  if (!path.empty() && path.front() == '/') return path;
  return std::string(SWITCHYARD_TEST_DATA) + "/" + path;
}

TemporaryFile::TemporaryFile(const std::string& name, const std::string& contents) {
  static int number = 0;
  path_ = concat(testing::TempDir(), "switchyard-", getpid(), "-", number++, "-", name);
  if (!contents.empty()) std::ofstream(path_, std::ios::binary) << contents;
}

TemporaryFile::~TemporaryFile() {
  for (const char* suffix : {"", ".partial", ".meta.json"}) {
    std::error_code ignored;
    std::filesystem::remove(path_ + suffix, ignored);
  }
}

std::string TemporaryFile::contents() const {
  std::ifstream file(path_, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

RunOptions run_options(const ScoreSetup& setup) {
  RunOptions options;
  options.model = test_data(setup.model);
  options.max_batch_tokens = setup.max_batch_tokens;
  options.exchange_buffer_bytes = setup.exchange_buffer_bytes;
  options.exchange = setup.exchange;
  options.tokenizer.newlines = setup.newlines;
  options.placement = setup.placement;
  options.capacity = setup.capacity;
  options.attention_form = setup.attention_form;
  options.tiers = setup.tiers;
  options.quantization = setup.quantization;
  return options;
}

std::string input_path(const ScoreSetup& setup) {
  const bool is_absolute = setup.input.front() == '/';
  return is_absolute ? setup.input : test_data(setup.model) + "/" + setup.input;
}

void run_as_threads(const ScoreSetup& setup,
                    const std::function<void(Backend&, Communicator&, ProgressSink&)>& work) {
  set_log_level(LogLevel::kError);
  BackendOptions backend;
  backend.kind = setup.backend;
  backend.instruction_set = setup.instruction_set;
  backend.num_threads = setup.num_threads;
  backend.strict_seed = setup.seed;
  ThreadWorldOptions world;
  world.seed = setup.seed;
  run_ranks(setup.num_ranks, world, backend, [&](Backend& device, Communicator& communicator) {
    NoProgress progress;
    work(device, communicator, progress);
  });
}

std::string score(const ScoreSetup& setup) {
  const TemporaryFile out("out.jsonl");
  ScoreOptions options;
  options.run = run_options(setup);
  options.input = input_path(setup);
  options.output = out.path();
  options.truncate = setup.truncate;
  options.top_logprobs = setup.top_logprobs;
  run_as_threads(setup, [&](Backend& device, Communicator& ranks, ProgressSink& progress) {
    run_score(options, device, ranks, progress);
  });
  return out.contents();
}

std::string difference(const json::object& got, const json::object& expected, double tolerance) {
  for (const char* key : {"id", "token_ids", "num_tokens", "is_greedy"}) {
    if (expected.contains(key) && (!got.contains(key) || got.at(key) != expected.at(key))) {
      return concat(key, " of ", json::serialize(got), " is not that of ",
                    json::serialize(expected));
    }
  }
  const json::array& have = got.at("token_logprobs").as_array();
  const json::array& want = expected.at("token_logprobs").as_array();
  if (have.size() != want.size()) return concat(have.size(), " log-probs for ", want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    if (want[i].is_null() && have[i].is_null()) continue;  // it follows nothing
    const bool are_numbers = want[i].is_number() && have[i].is_number();
    const double error = !are_numbers
                             ? std::nan("")
                             : std::abs(have[i].to_number<double>() - want[i].to_number<double>());
    if (!(error <= tolerance)) {
      return concat("token ", i, ": ", json::serialize(have[i]), " for ", json::serialize(want[i]));
    }
  }
  return "";
}

std::string compare_files(const std::string& output, const std::string& expected_path,
                          double tolerance) {
  std::istringstream lines(output);
  std::ifstream file(expected_path);
  const std::vector<json::value> got = parse_lines(lines);
  const std::vector<json::value> expected = parse_lines(file);
  if (got.size() != expected.size()) {
    return concat(got.size(), " results for ", expected.size(), " of ", expected_path);
  }
  for (size_t i = 0; i < got.size(); ++i) {
    const std::string text = difference(got[i].as_object(), expected[i].as_object(), tolerance);
    if (!text.empty()) return concat("result ", i, ": ", text);
  }
  return expected.empty() ? "nothing to compare" : "";
}

}  // namespace switchyard
