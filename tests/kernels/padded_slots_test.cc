// Rows that travel in slots of equal size, counted on the device.
#include <algorithm>
#include <numeric>

#include "tests/kernels/test_device.h"

namespace switchyard::testing {
namespace {

/// The instances of each rank: experts numbered from the last to the first, dealt out in these
/// numbers.
struct Ranks {
  std::vector<int64_t> instances_of_rank;

  int64_t num_ranks() const { return static_cast<int64_t>(instances_of_rank.size()); }
  int64_t num_experts() const {
    return std::accumulate(instances_of_rank.begin(), instances_of_rank.end(), int64_t{0});
  }
  int64_t most_instances() const { return *std::ranges::max_element(instances_of_rank); }
  int32_t instance_of(int32_t expert) const {
    return static_cast<int32_t>(num_experts()) - 1 - expert;
  }
  std::vector<int32_t> instance_of_expert() const {
    std::vector<int32_t> instances;
    for (int32_t e = 0; e < num_experts(); ++e) instances.push_back(instance_of(e));
    return instances;
  }
  std::vector<int32_t> first_instance() const {
    std::vector<int32_t> first = {0};
    for (const int64_t count : instances_of_rank) {
      first.push_back(first.back() + static_cast<int32_t>(count));
    }
    return first;
  }
};

/// Choices of `tokens` tokens, some of them none.
std::vector<int32_t> random_choices(int64_t tokens, int64_t top_k, int64_t experts, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<int32_t> choices;
  for (int64_t i = 0; i < tokens * top_k; ++i) {
    choices.push_back(static_cast<int32_t>(generator() % static_cast<uint32_t>(experts + 1)) - 1);
  }
  return choices;
}

struct Case {
  Ranks ranks;
  int64_t tokens;  // of each rank at most; rank r has tokens - r, at least 0
  int64_t top_k;
  int64_t width;
};

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{{4}}, 5, 2, 8},           {{{1, 1}}, 40, 1, 16},     {{{3, 0, 2}}, 9, 2, 5},
      {{{20, 19, 2}}, 70, 4, 12}, {{{64, 64}}, 130, 8, 7},   {{{2, 3}}, 0, 2, 4},
      {{{600}}, 33, 6, 64},       {{{0, 1, 1, 1}}, 2, 1, 4},
  };
  return all;
}

/// What every rank of a case sends and finds in the slots that reach it.
class Exchange {
 public:
  Exchange(TestDevice& device, const Case& c)
      : device_(device),
        c_(c),
        header_rows_(PaddedSlots::header_rows_for(c.ranks.most_instances(), c.width)),
        slot_rows_(header_rows_ + c.tokens * c.top_k) {}

  int64_t tokens_of(int64_t rank) const { return std::max<int64_t>(0, c_.tokens - rank); }
  std::vector<int32_t> choices_of(int64_t rank) const {
    return random_choices(tokens_of(rank), c_.top_k, c_.ranks.num_experts(),
                          static_cast<uint32_t>(rank) + 1);
  }
  /// A token's row tells whose it is.
  std::vector<float> tokens_rows(int64_t rank) const {
    std::vector<float> rows;
    for (int64_t t = 0; t < tokens_of(rank); ++t) {
      for (int64_t i = 0; i < c_.width; ++i) {
        rows.push_back(static_cast<float>(rank * 1000 + t) + static_cast<float>(i) / 128.0f);
      }
    }
    return rows;
  }

  PaddedSlots slots(const Tensor& rows) const {
    return {rows.view(), c_.ranks.num_ranks(), header_rows_};
  }
  Tensor make_slots() {
    const Shape shape = {c_.ranks.num_ranks() * slot_rows_, c_.width};
    return device_.put(std::vector<float>(static_cast<size_t>(shape.num_elements()), -7.0f), shape);
  }

  /// The slots that a rank sends, its tokens in them.
  std::vector<float> send(int64_t rank, std::vector<int32_t>* places_out = nullptr) {
    const int64_t tokens = tokens_of(rank);
    const Tensor idx = device_.put(choices_of(rank), {tokens, c_.top_k});
    const Tensor x = device_.put(tokens_rows(rank), {tokens, c_.width});
    const Tensor instances = device_.put(c_.ranks.instance_of_expert(), {c_.ranks.num_experts()});
    const Tensor first = device_.put(c_.ranks.first_instance(), {c_.ranks.num_ranks() + 1});
    const Tensor places = device_.make(DType::kI32, {tokens * c_.top_k});
    const Tensor rows = make_slots();
    Backend& backend = device_.backend();
    backend.place_copies(device_.stream(),
                         {idx.view(), instances.view(), first.view(), slots(rows), places.view()});
    backend.scatter_rows(device_.stream(), {x.view(), places.view(), rows.view(), c_.top_k});
    if (places_out != nullptr) *places_out = device_.get<int32_t>(places.view());
    return device_.get(rows);
  }

  /// The slots that reach a rank.
  Tensor arrivals(int64_t rank) {
    std::vector<float> received;
    for (int64_t source = 0; source < c_.ranks.num_ranks(); ++source) {
      const std::vector<float> sent = send(source);
      const auto begin = sent.begin() + rank * slot_rows_ * c_.width;
      append(received, {begin, begin + slot_rows_ * c_.width});
    }
    return device_.put(received, {c_.ranks.num_ranks() * slot_rows_, c_.width});
  }

  TestDevice& device() { return device_; }
  const Case& of() const { return c_; }
  int64_t slot_rows() const { return slot_rows_; }
  int64_t header_rows() const { return header_rows_; }

 private:
  TestDevice& device_;
  const Case& c_;
  int64_t header_rows_;
  int64_t slot_rows_;
};

std::vector<float> as_floats(const std::vector<int32_t>& values) {
  return {values.begin(), values.end()};
}

/// Offsets and rows as a rank groups what reaches it, and the numbers of these rows.
std::vector<float> group(Exchange& exchange, int64_t rank) {
  TestDevice& device = exchange.device();
  const Case& c = exchange.of();
  const Tensor received = exchange.arrivals(rank);
  const PaddedSlots slots = exchange.slots(received);
  const int64_t instances = c.ranks.instances_of_rank[static_cast<size_t>(rank)];
  const Tensor offsets = device.make(DType::kI32, {instances + 1});
  const Tensor from = device.make(DType::kI32, {slots.num_payload_rows()});
  const Tensor grouped =
      device.put(std::vector<float>(static_cast<size_t>(slots.num_payload_rows() * c.width), -1.0f),
                 {slots.num_payload_rows(), c.width});
  Backend& backend = device.backend();
  backend.group_arrivals(device.stream(), {slots, offsets.view(), from.view()});
  backend.gather_rows(device.stream(), {received.view(), from.view(), grouped.view()});
  std::vector<float> result = as_floats(device.get<int32_t>(offsets.view()));
  append(result, device.get(grouped));
  return result;
}

/// The definition: by instance, rank and choice.
std::vector<float> expected_groups(Exchange& exchange, int64_t rank) {
  const Case& c = exchange.of();
  const int32_t first = c.ranks.first_instance()[static_cast<size_t>(rank)];
  const auto instances = static_cast<int32_t>(c.ranks.instances_of_rank[static_cast<size_t>(rank)]);
  std::vector<float> rows;
  std::vector<float> result = {0.0f};
  for (int32_t instance = first; instance < first + instances; ++instance) {
    for (int64_t source = 0; source < c.ranks.num_ranks(); ++source) {
      const std::vector<int32_t> choices = exchange.choices_of(source);
      const std::vector<float> x = exchange.tokens_rows(source);
      for (size_t copy = 0; copy < choices.size(); ++copy) {
        if (choices[copy] < 0 || c.ranks.instance_of(choices[copy]) != instance) continue;
        const auto token = static_cast<std::ptrdiff_t>(copy) / c.top_k;
        append(rows, {x.begin() + token * c.width, x.begin() + (token + 1) * c.width});
      }
    }
    result.push_back(static_cast<float>(rows.size()) / static_cast<float>(c.width));
  }
  append(result, rows);
  const int64_t payload =
      c.ranks.num_ranks() * (exchange.slot_rows() - exchange.header_rows()) * c.width;
  const auto unused = static_cast<size_t>(payload) - rows.size();
  append(result, std::vector<float>(unused, -1.0f));
  return result;
}

TEST(PaddedSlots, RowsArriveByInstanceAndRank) {
  for (const Case& c : cases()) {
    for (int64_t rank = 0; rank < c.ranks.num_ranks(); ++rank) {
      const std::vector<float> groups = same_on_all_variants([&](TestDevice& device) {
        Exchange exchange(device, c);
        return group(exchange, rank);
      });
      TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
      Exchange exchange(device, c);
      expect_same_bits(expected_groups(exchange, rank), groups, "rank " + std::to_string(rank));
    }
  }
}

TEST(PaddedSlots, EveryChoiceFindsItsRowAgain) {
  for (const Case& c : cases()) {
    const std::vector<float> found = same_on_all_variants([&](TestDevice& device) {
      Exchange exchange(device, c);
      std::vector<int32_t> places;
      const std::vector<float> sent = exchange.send(0, &places);
      std::vector<float> result = as_floats(places);
      const auto num_copies = static_cast<int64_t>(places.size());
      const Tensor rows = device.put(sent, {c.ranks.num_ranks() * exchange.slot_rows(), c.width});
      const Tensor index = device.put(places, {num_copies});
      const Tensor back =
          device.put(std::vector<float>(static_cast<size_t>(num_copies * c.width), -2.0f),
                     {num_copies, c.width});
      device.backend().gather_rows(device.stream(), {rows.view(), index.view(), back.view()});
      append(result, device.get(back));
      return result;
    });
    TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
    const Exchange exchange(device, c);
    const std::vector<int32_t> choices = exchange.choices_of(0);
    const std::vector<float> x = exchange.tokens_rows(0);
    for (size_t copy = 0; copy < choices.size(); ++copy) {
      const auto token = static_cast<int64_t>(copy) / c.top_k;
      for (int64_t i = 0; i < c.width; ++i) {
        const float value =
            found[choices.size() + copy * static_cast<size_t>(c.width) + static_cast<size_t>(i)];
        const float own = x[static_cast<size_t>(token * c.width + i)];
        ASSERT_EQ(value, choices[copy] < 0 ? -2.0f : own) << "choice " << copy;
      }
    }
  }
}

TEST(PaddedSlots, WrongSizesAreErrors) {
  TestDevice device({BackendKind::kCpu, InstructionSet::kAuto, 1, 1});
  Backend& backend = device.backend();
  const Tensor idx = device.put<int32_t>({0, 1, 1, 0}, {2, 2});
  const Tensor instances = device.put<int32_t>({0, 1}, {2});
  const Tensor first = device.put<int32_t>({0, 1, 2}, {3});
  const Tensor places = device.make(DType::kI32, {4});
  const Tensor rows = device.make({8, 3});
  const PaddedSlots tight = {rows.view(), 2, 1};
  expect_error(
      [&] {
        backend.place_copies(device.stream(),
                             {idx.view(), instances.view(), first.view(), tight, places.view()});
      },
      ErrorKind::kInternal, "place_copies: slots have too few rows");
  const PaddedSlots odd = {rows.view(), 3, 1};
  expect_error(
      [&] {
        backend.place_copies(device.stream(),
                             {idx.view(), instances.view(), first.view(), odd, places.view()});
      },
      ErrorKind::kInternal, "place_copies: slots are not of one size");
  const Tensor offsets = device.make(DType::kI32, {5});
  const Tensor from = device.make(DType::kI32, {6});
  expect_error(
      [&] {
        backend.group_arrivals(device.stream(), {tight, offsets.view(), from.view()});
      },
      ErrorKind::kInternal, "group_arrivals: row_offsets are not those of the headers' instances");
}

TEST(PaddedSlots, CountsThatNoSlotHoldsAreAnError) {
  for (const BackendKind kind : {BackendKind::kCpu, BackendKind::kStrict}) {
    TestDevice device({kind, InstructionSet::kAuto, 1, 1});
    // One rank, one instance, a slot of two rows that says it has five.
    const Tensor rows = device.put<int32_t>({5, 0, 0}, {3, 1});
    TensorView slots = rows.view();
    slots.dtype = DType::kF32;
    const Tensor offsets = device.make(DType::kI32, {2});
    const Tensor from = device.make(DType::kI32, {2});
    expect_error(
        [&] {
          device.backend().group_arrivals(device.stream(),
                                          {{slots, 1, 1}, offsets.view(), from.view()});
          device.finish();
        },
        ErrorKind::kInternal, "group_arrivals: 5 rows of instance 0 from rank 0");
  }
}

}  // namespace
}  // namespace switchyard::testing
