// The expert matrices of moe_15b (hidden size 768, ffn size 3072) against the machine's limits.
// Usage: ffn_benchmark [threads [avx512|avx2|portable]]. Every timed result is checked. Then what
// it takes to quantise these matrices.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/text_table.h"
#include "kernels/base/timing.h"
#include "kernels/cpu/grouped_ffn_driver.h"
#include "kernels/cpu/instruction_set.h"
#include "kernels/cpu/machine_limits.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/packing.h"
#include "kernels/cpu/quantize.h"
#include "kernels/quantization.h"

namespace switchyard {
namespace {

constexpr int64_t kHidden = 768;
constexpr int64_t kFfn = 3072;

/// The machine and what it can do.
struct Machine {
  const CpuKernels& kernels;
  ThreadPool pool;
  cpu::MatmulScratch scratch;
  double fma_peak = 0.0;
  double read_bandwidth = 0.0;
};

/// Cheap numbers in [-0.5, 0.5) with few bits, so that every dtype holds them exactly.
float number(int64_t i) {
  return static_cast<float>((static_cast<uint64_t>(i) * 2654435761u >> 7) % 128) / 128.0f - 0.5f;
}

std::vector<float> numbers(int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) out[static_cast<size_t>(i)] = number(i);
  return out;
}

/// How matrices are kept.
struct Form {
  DType dtype = DType::kF32;
  GroupQuantization quantization;

  WeightSpec spec(int64_t n, int64_t k) const { return {dtype, n, k, quantization}; }
  std::string text() const {
    return quantization.is_on() ? name_of(quantization) : std::string(name_of(dtype));
  }
};

std::vector<Form> quantised_forms() {
  std::vector<Form> forms;
  for (const int bits : {8, 4, 3, 2}) forms.push_back({DType::kF16, default_quantization(bits)});
  return forms;
}

std::vector<Form> all_forms() {
  std::vector<Form> forms = {{DType::kF16, {}}, {DType::kBF16, {}}, {DType::kF32, {}}};
  for (const Form& form : quantised_forms()) forms.push_back(form);
  return forms;
}

[[noreturn]] void end_wrong(const char* what, int64_t row, int64_t col, float got, float expected) {
  std::fprintf(stderr, "wrong %s [%ld, %ld]: %.9g, expected %.9g\n", what, static_cast<long>(row),
               static_cast<long>(col), static_cast<double>(got), static_cast<double>(expected));
  std::exit(1);
}

/// A packed matrix of number()s, or of what they are quantised to.
class Matrix {
 public:
  Matrix(Machine& machine, const Form& form, int64_t n, int64_t k)
      : spec_(form.spec(n, k)),
        elements_(numbers(n * k)),
        stored_(static_cast<size_t>(spec_.source_bytes())),
        packed_(cpu::packed_bytes(spec_)) {
    convert_elements(DType::kF32, elements_.data(), form.dtype, stored_.data(), n * k);
    if (form.quantization.is_on()) {
      quantize(machine);
      read_back(machine);
    } else {
      cpu::pack_rows(stored_.data(), 0, n, weight());
    }
  }
  Weight weight() const { return {spec_, packed_.data()}; }
  float element(int64_t row, int64_t col) const {
    return elements_[static_cast<size_t>(row * spec_.cols + col)];
  }
  void quantize(Machine& machine) const {
    cpu::quantize_rows(machine.kernels, machine.pool, stored_.data(), 0, spec_.rows, weight());
  }

 private:
  /// Rows of the unit matrix give the elements, which must be near the numbers.
  void read_back(Machine& machine) {
    const float step = 1.0f / static_cast<float>((1 << spec_.quantization.bits) - 1);
    std::vector<float> unit(static_cast<size_t>(spec_.cols));
    std::vector<float> column(static_cast<size_t>(spec_.rows));
    for (int64_t col = 0; col < spec_.cols; ++col) {
      unit[static_cast<size_t>(col)] = 1.0f;
      cpu::matmul(machine.kernels, machine.pool, machine.scratch,
                  {.x = unit.data(), .num_rows = 1, .w = weight(), .out = column.data()});
      unit[static_cast<size_t>(col)] = 0.0f;
      for (int64_t row = 0; row < spec_.rows; ++row) {
        float& element = elements_[static_cast<size_t>(row * spec_.cols + col)];
        const float got = column[static_cast<size_t>(row)];
        if (std::fabs(got - element) > step) end_wrong("element", row, col, got, element);
        element = got;
      }
    }
  }

  WeightSpec spec_;
  std::vector<float> elements_;
  std::vector<char> stored_;
  AlignedBuffer packed_;
};

/// Ends the program unless out[row, col] is its chain of fused multiply-adds.
void check_output(const std::vector<float>& x, const Matrix& w, const std::vector<float>& out,
                  int64_t row, int64_t col) {
  const auto [dtype, n, k, quantization] = w.weight().spec;
  float sum = 0.0f;
  for (int64_t i = 0; i < k; ++i) {
    sum = std::fma(x[static_cast<size_t>(row * k + i)], w.element(col, i), sum);
  }
  const float got = out[static_cast<size_t>(row * n + col)];
  if (got != sum) end_wrong("result", row, col, got, sum);
}

std::string percent(double part, double whole) { return format_fixed(100.0 * part / whole, 1); }

void time_matmul(Machine& machine, const Form& form, const Matrix& matrix, int64_t rows,
                 TextTable& table) {
  const WeightSpec spec = matrix.weight().spec;
  const std::vector<float> x = numbers(rows * spec.cols);
  std::vector<float> out(static_cast<size_t>(rows * spec.rows));
  const int repeats = rows >= 256 ? 1 : 8;
  const double seconds = median_seconds(15, [&] {
    for (int i = 0; i < repeats; ++i) {
      cpu::matmul(machine.kernels, machine.pool, machine.scratch,
                  {.x = x.data(), .num_rows = rows, .w = matrix.weight(), .out = out.data()});
    }
  });
  for (const int64_t row : {int64_t{0}, rows / 2, rows - 1}) {
    for (const int64_t col : {int64_t{0}, spec.rows / 3, spec.rows - 1}) {
      check_output(x, matrix, out, row, col);
    }
  }
  const double flops = 2.0 * static_cast<double>(rows * spec.rows * spec.cols * repeats) / seconds;
  table.add_row({std::to_string(spec.rows) + " x " + std::to_string(spec.cols), form.text(),
                 std::to_string(rows), format_fixed(flops / 1e9, 1),
                 percent(flops, machine.fma_peak)});
}

/// `rows` rows to each of so many experts that their weights do not fit in the last-level cache.
void time_experts(Machine& machine, const Form& form, int64_t rows, TextTable& table) {
  const Matrix up(machine, form, kFfn, kHidden);
  const Matrix down(machine, form, kHidden, kFfn);
  const int64_t up_bytes = cpu::packed_bytes(up.weight().spec);
  const int64_t down_bytes = cpu::packed_bytes(down.weight().spec);
  const int64_t expert_bytes = up_bytes + down_bytes;
  const int64_t count = 2 * last_level_cache_bytes() / expert_bytes + 1;
  const AlignedBuffer weights(count * expert_bytes);
  std::vector<cpu::HostExpert> experts(static_cast<size_t>(count));
  std::vector<int64_t> offsets;
  for (int64_t e = 0; e < count; ++e) {
    char* const at = weights.as<char>() + e * expert_bytes;
    std::memcpy(at, up.weight().data, static_cast<size_t>(up_bytes));
    std::memcpy(at + up_bytes, down.weight().data, static_cast<size_t>(down_bytes));
    experts[static_cast<size_t>(e)].up = {up.weight().spec, at};
    experts[static_cast<size_t>(e)].down = {down.weight().spec, at + up_bytes};
    offsets.push_back(e * rows);
  }
  offsets.push_back(count * rows);
  const std::vector<float> x = numbers(count * rows * kHidden);
  std::vector<float> hidden(static_cast<size_t>(count * rows * kFfn));
  std::vector<float> out(static_cast<size_t>(count * rows * kHidden));
  const double seconds = median_seconds(9, [&] {
    cpu::grouped_ffn(machine.kernels, machine.pool, machine.scratch,
                     {.rows = x.data(),
                      .row_offsets = offsets.data(),
                      .experts = experts.data(),
                      .num_groups = count,
                      .form = {.activation = Activation::kNone},
                      .hidden = hidden.data(),
                      .hidden_width = kFfn,
                      .out = out.data()});
  });
  check_output(x, up, hidden, count * rows - 1, kFfn / 2);
  check_output(hidden, down, out, count * rows / 2, kHidden - 1);
  const double bandwidth = static_cast<double>(count * expert_bytes) / seconds;
  const double elements = static_cast<double>(count * 2 * kFfn * kHidden) / seconds;
  table.add_row({std::to_string(count) + " experts", form.text(), std::to_string(rows),
                 format_fixed(elements / 1e9, 1), format_fixed(bandwidth / 1e9, 1),
                 percent(bandwidth, machine.read_bandwidth)});
}

void time_quantizing(Machine& machine, const Form& form, TextTable& table) {
  const Matrix matrix(machine, form, kFfn, kHidden);
  const double seconds = median_seconds(5, [&] { matrix.quantize(machine); });
  const double weights = static_cast<double>(kFfn * kHidden);
  const double bits = 8.0 * static_cast<double>(cpu::packed_bytes(matrix.weight().spec)) / weights;
  const double thread_seconds = seconds * machine.pool.num_threads();
  table.add_row({form.text(), format_fixed(bits, 2), format_fixed(weights / seconds / 1e6, 0),
                 format_fixed(thread_seconds / weights * 1e9, 2)});
}

std::string processor_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown processor";
}

InstructionSet parse_set(const std::string& text) {
  for (const auto set :
       {InstructionSet::kAvx512, InstructionSet::kAvx2, InstructionSet::kPortable}) {
    if (text == name_of(set)) return set;
  }
  return best_instruction_set();
}

void measure_limits(Machine& machine, InstructionSet set) {
  const int64_t bytes = std::min(2 * last_level_cache_bytes(), int64_t{2} << 30);
  const AlignedBuffer memory(bytes);
  std::memset(memory.data(), 1, static_cast<size_t>(bytes));
  machine.read_bandwidth = measure_read_bandwidth(machine.pool, memory.data(), bytes);
  machine.fma_peak = measure_fma_peak(set, machine.pool);
  ThreadPool one(1);
  std::printf("%s, %s, %d threads\n", processor_name().c_str(), std::string(name_of(set)).c_str(),
              machine.pool.num_threads());
  std::printf("fma peak        %8.1f GFLOP/s (one thread %.1f)\n", machine.fma_peak / 1e9,
              measure_fma_peak(set, one) / 1e9);
  std::printf("read bandwidth  %8.1f GB/s over %ld MiB\n\n", machine.read_bandwidth / 1e9,
              static_cast<long>(bytes >> 20));
}

void run(int threads, InstructionSet set) {
  Machine machine{cpu_kernels(set), ThreadPool(threads), cpu::MatmulScratch(threads)};
  measure_limits(machine, set);
  TextTable matmuls({"weight", "type", "rows", "GFLOP/s", "% of fma peak"});
  for (const Form& form : all_forms()) {
    for (const auto& [n, k] : {std::pair{kFfn, kHidden}, {kHidden, kFfn}}) {
      const Matrix matrix(machine, form, n, k);
      for (const int64_t rows : {1, 4, 16, 64, 256, 2048}) {
        time_matmul(machine, form, matrix, rows, matmuls);
      }
    }
  }
  std::printf("%s\n", matmuls.text().c_str());
  TextTable experts(
      {"grouped ffn", "type", "rows each", "Gweights/s", "GB/s", "% of read bandwidth"});
  for (const Form& form : all_forms()) {
    for (const int64_t rows : {1, 4}) time_experts(machine, form, rows, experts);
  }
  std::printf("%s\n", experts.text().c_str());
  TextTable quantizing({"quantising fp16 to", "bits/weight", "Mweights/s", "ns/weight/thread"});
  for (const Form& form : quantised_forms()) time_quantizing(machine, form, quantizing);
  std::printf("%s", quantizing.text().c_str());
}

}  // namespace
}  // namespace switchyard

int main(int argc, char** argv) {
  using namespace switchyard;
  const int threads =
      argc > 1 ? std::atoi(argv[1]) : static_cast<int>(std::thread::hardware_concurrency());
  run(threads, parse_set(argc > 2 ? argv[2] : ""));
}
