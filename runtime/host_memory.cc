#include "runtime/host_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

namespace switchyard {
namespace {

/// The number in a one-line file; `none` if there is no such file or it says "max".
int64_t number_in(const std::string& path, int64_t none) {
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : none;
}

/// The value of `key` in a file of lines "key value"; 0 if it is not there.
int64_t value_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  int64_t value = 0;
  while (file >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

}  // namespace

int64_t memory_left_in_group(const std::string& directory) {
  constexpr int64_t kNone = std::numeric_limits<int64_t>::max();
  // Files read lately count as used, but the kernel drops them before it refuses memory.
  const auto left = [&](int64_t limit, const char* used, const char* cache) {
    return limit - number_in(directory + used, 0) + value_in(directory + "/memory.stat", cache);
  };
  const int64_t v2 = number_in(directory + "/memory.max", kNone);
  if (v2 != kNone) return left(v2, "/memory.current", "inactive_file");
  const int64_t v1 = number_in(directory + "/memory.limit_in_bytes", kNone);
  if (v1 != kNone) return left(v1, "/memory.usage_in_bytes", "total_inactive_file");
  return kNone;
}

namespace {

/// The tightest limit of this process's memory control groups and their parents.
int64_t left_in_control_groups() {
  int64_t left = std::numeric_limits<int64_t>::max();
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_v2 = controllers.empty();
    if (!is_v2 && controllers.find("memory") == std::string::npos) continue;
    const std::string root = is_v2 ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory";
    for (std::string path = line.substr(second + 1);; path.resize(path.find_last_of('/'))) {
      left = std::min(left, memory_left_in_group(root + path));
      if (path.find('/') == std::string::npos) break;
    }
  }
  return left;
}

int64_t available_memory() {
  std::ifstream info("/proc/meminfo");
  for (std::string line; std::getline(info, line);) {
    std::istringstream fields(line);
    std::string key;
    int64_t kibibytes = 0;
    if (fields >> key >> kibibytes && key == "MemAvailable:") return kibibytes * 1024;
  }
  return std::numeric_limits<int64_t>::max();
}

}  // namespace

int64_t free_host_memory() { return std::min(available_memory(), left_in_control_groups()); }

namespace {

/// A line "KEY: n kB" of /proc/self/status, in bytes.
int64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    std::istringstream fields(line);
    std::string name;
    int64_t kibibytes = 0;
    if (fields >> name >> kibibytes && name == key) return kibibytes * 1024;
  }
  return 0;
}

}  // namespace

int64_t resident_bytes() { return status_bytes("VmRSS:"); }

int64_t peak_resident_bytes() { return status_bytes("VmHWM:"); }

}  // namespace switchyard
