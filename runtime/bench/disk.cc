#include <unistd.h>

#include <cstring>
#include <filesystem>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "kernels/base/steady_seconds.h"
#include "runtime/bench/bench.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/staged_file.h"

namespace switchyard {
namespace {

/// A file of each rank's own, gone afterwards.
class BenchFile {
 public:
  BenchFile(const std::string& directory, int rank, int64_t bytes)
      : path_(std::filesystem::path(
                  directory.empty() ? std::filesystem::temp_directory_path().string() : directory) /
              concat("switchyard_bench_", getpid(), "_", rank)),
        numbers_(bench_numbers(bytes / 4)) {
    StagedFile file(path_);
    file.write_at(0, {reinterpret_cast<const char*>(numbers_.data()), numbers_.size() * 4});
    file.close();
    file.publish();
  }
  ~BenchFile() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  BenchFile(const BenchFile&) = delete;
  BenchFile& operator=(const BenchFile&) = delete;

  const std::string& path() const { return path_; }
  const std::vector<float>& numbers() const { return numbers_; }

 private:
  const std::string path_;
  const std::vector<float> numbers_;
};

}  // namespace

void measure_disk(BenchPlace& place, const BenchOptions& options) {
  const int64_t bytes = whole_blocks(moved_bytes(options));
  std::vector<double> seconds;
  auto check = BenchCheck::kOk;
  std::unique_ptr<BenchFile> written;
  place.control.agree(
      [&] { written = std::make_unique<BenchFile>(options.directory, place.world.rank(), bytes); },
      {.phase = "file to read"});
  AlignedBuffer memory(bytes + kDirectBlock);
  auto* const to = reinterpret_cast<char*>(
      whole_blocks(static_cast<int64_t>(reinterpret_cast<uintptr_t>(memory.data()))));
  for (int64_t i = 0; i < options.repeats; ++i) {
    place.control.barrier({.phase = "measurement"});
    const double begin = steady_seconds();
    place.control.agree(
        [&] {
          RandomFile file(written->path(), FileCaching::kDirect);
          file.read_at(0, bytes, to, "what was written");
        },
        {.phase = "measurement"});
    seconds.push_back(steady_seconds() - begin);
    if (std::memcmp(written->numbers().data(), to, written->numbers().size() * 4) != 0) {
      check = BenchCheck::kWrong;
    }
  }
  BenchRow row{.what = "disk read",
               .detail = concat(format_byte_size(bytes), " of each rank, direct, one thread"),
               .times = times_of(std::move(seconds)),
               .unit = "B/s"};
  row.rate = static_cast<double>(bytes) / row.times.median;
  row.check = check;
  place.rows.push_back(std::move(row));
}

}  // namespace switchyard
