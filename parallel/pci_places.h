// Where devices stand in a machine, as Linux tells under /sys.
#pragma once

#include <string>

namespace switchyard {

/// Where a PCI device stands.
struct PciPlace {
  int numa_node = -1;       ///< -1: the machine does not tell
  std::string nearest_nic;  ///< "mlx5_0"; empty: there is none
};

/// The place of the PCI device `bus_id` ("0000:17:00.0", in either case, with 4 or 8 digits of the
/// domain). The nearest network adapter is the one that shares most of the way through the
/// machine's bridges; InfiniBand ones go before others. `sysfs` is "/sys", or a copy for tests.
/// What cannot be read is left as it is by default.
PciPlace pci_place_of(const std::string& bus_id, const std::string& sysfs = "/sys");

}  // namespace switchyard
