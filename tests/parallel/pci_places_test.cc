#include "parallel/pci_places.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// A copy of the parts of /sys that matter, as a machine with two sockets has them.
class PciPlacesTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::path(testing::TempDir()) /
            testing::UnitTest::GetInstance()->current_test_info()->name();
    fs::remove_all(root_);
    fs::create_directories(root_ / "bus/pci/devices");
    fs::create_directories(root_ / "class/infiniband");
    fs::create_directories(root_ / "class/net/lo");  // no device behind it
  }
  void TearDown() override { fs::remove_all(root_); }

  /// A device below `bridge`, as "pci0000:00/0000:00:01.0".
  fs::path add_device(const std::string& bridge, const std::string& bus_id, int numa_node) {
    const fs::path device = root_ / "devices" / bridge / bus_id;
    fs::create_directories(device);
    std::ofstream(device / "numa_node") << numa_node << "\n";
    fs::create_directory_symlink(device, root_ / "bus/pci/devices" / bus_id);
    return device;
  }
  void add_adapter(const std::string& of_class, const std::string& name, const fs::path& device) {
    fs::create_directories(root_ / "class" / of_class / name);
    fs::create_directory_symlink(device, root_ / "class" / of_class / name / "device");
  }
  PciPlace place_of(const std::string& bus_id) { return pci_place_of(bus_id, root_.string()); }

  fs::path root_;
};

TEST_F(PciPlacesTest, TheAdapterBehindTheSameBridgeIsNearest) {
  add_device("pci0000:00/0000:00:01.0/0000:16:00.0", "0000:17:00.0", 0);
  add_device("pci0000:80/0000:80:01.0/0000:96:00.0", "0000:9b:00.0", 1);
  add_adapter("infiniband", "mlx5_0", add_device("pci0000:80/0000:80:03.0", "0000:a0:00.0", 1));
  add_adapter("infiniband", "mlx5_1",
              add_device("pci0000:80/0000:80:01.0/0000:96:01.0", "0000:9c:00.0", 1));
  add_adapter("infiniband", "mlx5_2",
              add_device("pci0000:00/0000:00:01.0/0000:16:01.0", "0000:18:00.0", 0));
  EXPECT_EQ(place_of("0000:17:00.0").nearest_nic, "mlx5_2");
  EXPECT_EQ(place_of("0000:17:00.0").numa_node, 0);
  EXPECT_EQ(place_of("0000:9B:00.0").nearest_nic, "mlx5_1");
  EXPECT_EQ(place_of("00000000:9B:00.0").numa_node, 1) << "as other tools write it";
}

TEST_F(PciPlacesTest, OfEquallyFarOnesThatOfTheSameNodeIsNearest) {
  add_device("pci0000:80", "0000:9b:00.0", 1);
  add_adapter("infiniband", "mlx5_0", add_device("pci0000:00", "0000:18:00.0", 0));
  add_adapter("infiniband", "mlx5_1", add_device("pci0000:a0", "0000:a8:00.0", 1));
  EXPECT_EQ(place_of("0000:9b:00.0").nearest_nic, "mlx5_1");
}

TEST_F(PciPlacesTest, WithoutInfinibandOtherAdaptersCount) {
  add_device("pci0000:00", "0000:17:00.0", 0);
  add_adapter("net", "eth0", add_device("pci0000:00", "0000:18:00.0", 0));
  EXPECT_EQ(place_of("0000:17:00.0").nearest_nic, "eth0");
}

TEST_F(PciPlacesTest, WhatIsNotToldStaysUnknown) {
  add_device("pci0000:00", "0000:17:00.0", -1);
  EXPECT_EQ(place_of("0000:17:00.0").numa_node, -1);
  EXPECT_EQ(place_of("0000:17:00.0").nearest_nic, "");
  EXPECT_EQ(place_of("0000:99:00.0").numa_node, -1);
  EXPECT_EQ(place_of("").nearest_nic, "");
  EXPECT_EQ(pci_place_of("0000:17:00.0", "/nonexistent").numa_node, -1);
}

}  // namespace
}  // namespace switchyard
