#include "parallel/pci_places.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <tuple>
#include <vector>

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// As in /sys: lower case, a domain of four digits where that is enough.
std::string sysfs_name(std::string bus_id) {
  for (char& c : bus_id) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  while (bus_id.find(':') > 4 && bus_id.find(':') != std::string::npos && bus_id[0] == '0') {
    bus_id.erase(0, 1);
  }
  return bus_id;
}

/// The way through the bridges, as "/sys/devices/pci0000:00/0000:00:01.0/0000:17:00.0"; empty if
/// there is no such link.
fs::path bus_path(const fs::path& link) {
  std::error_code error;
  fs::path path = fs::canonical(link, error);
  return error ? fs::path() : path;
}

int common_steps(const fs::path& a, const fs::path& b) {
  const auto [end, unused] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return static_cast<int>(std::distance(a.begin(), end));
}

int numa_node_of(const fs::path& device) {
  std::ifstream file(device / "numa_node");
  int node = -1;
  return file >> node ? node : -1;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    entries.push_back(entry.path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

/// Of the adapters in this class of /sys; empty if there is none on a bus.
std::string nearest_of(const fs::path& adapters, const fs::path& device, int numa_node) {
  std::string nearest;
  std::tuple<int, bool> best;
  for (const fs::path& adapter : entries_of(adapters)) {
    const fs::path path = bus_path(adapter / "device");
    if (path.empty()) continue;  // loopback, bridges and the like
    const std::tuple<int, bool> closeness = {common_steps(path, device),
                                             numa_node_of(path) == numa_node};
    if (nearest.empty() || closeness > best) {
      nearest = adapter.filename().string();
      best = closeness;
    }
  }
  return nearest;
}

}  // namespace

PciPlace pci_place_of(const std::string& bus_id, const std::string& sysfs) {
  const fs::path device = bus_path(fs::path(sysfs) / "bus/pci/devices" / sysfs_name(bus_id));
  PciPlace place;
  if (device.empty()) return place;
  place.numa_node = numa_node_of(device);
  for (const char* adapters : {"class/infiniband", "class/net"}) {
    if (!place.nearest_nic.empty()) break;
    place.nearest_nic = nearest_of(fs::path(sysfs) / adapters, device, place.numa_node);
  }
  return place;
}

}  // namespace switchyard
