#include "runtime/memory_ledger.h"

#include <algorithm>
#include <map>

#include "kernels/base/byte_codec.h"
#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "runtime/memory_check.h"

namespace switchyard {
namespace {

/// What the ranks of a GPU say together: the first of them began with most, the last has least.
struct SharedLedger {
  LedgerEntry sum;
  int ranks = 0;

  int64_t taken() const { return sum.free_before - sum.free_now; }
};

std::map<std::string, SharedLedger> by_device(const std::vector<LedgerEntry>& entries) {
  std::map<std::string, SharedLedger> devices;
  for (const LedgerEntry& entry : entries) {
    SharedLedger& device = devices[entry.device];
    LedgerEntry& sum = device.sum;
    sum.planned += entry.planned;
    sum.free_before = std::max(sum.free_before, entry.free_before);
    sum.free_now = device.ranks == 0 ? entry.free_now : std::min(sum.free_now, entry.free_now);
    ++device.ranks;
  }
  return devices;
}

}  // namespace

int64_t least_left(const std::vector<LedgerEntry>& entries) {
  return std::ranges::min_element(entries, {}, &LedgerEntry::free_now)->free_now;
}

std::string ledger_text(const std::vector<LedgerEntry>& entries) {
  const std::map<std::string, SharedLedger> devices = by_device(entries);
  if (devices.empty()) return "";
  const auto& [name, tightest] = *std::ranges::min_element(
      devices, {}, [](const auto& device) { return device.second.sum.free_now; });
  return concat(name, ": ", tightest.ranks, tightest.ranks == 1 ? " rank" : " ranks", " planned ",
                format_byte_size(tightest.sum.planned), " and took ",
                format_byte_size(tightest.taken()), "; ", format_byte_size(tightest.sum.free_now),
                " are left");
}

MemoryLedger::MemoryLedger(int64_t planned, const Backend& backend)
    : planned_(planned), backend_(backend), before_(backend.device_memory()) {}

void MemoryLedger::check(const Topology& topology, ControlChannel& control) const {
  constexpr CollectiveLabel kLabel{.phase = "check of the memory plan"};
  if (!before_) return;  // of every rank alike: the ranks of a job have one kind of device
  control.barrier(kLabel);
  ByteWriter writer;
  writer.put_string(device_id(topology, *before_));
  writer.put(planned_);
  writer.put(before_->free_bytes);
  writer.put(backend_.device_memory()->free_bytes);
  std::vector<LedgerEntry> entries;
  for (const std::string& bytes : control.all_gather(writer.bytes(), kLabel)) {
    ByteReader reader(bytes);
    LedgerEntry& entry = entries.emplace_back();
    entry.device = reader.get_string();
    entry.planned = reader.get<int64_t>();
    entry.free_before = reader.get<int64_t>();
    entry.free_now = reader.get<int64_t>();
  }
  if (control.rank() != 0) return;
  if (least_left(entries) >= kLeastDeviceBytesLeft) {
    log_info(ledger_text(entries));
  } else {
    log_warning(ledger_text(entries), ", less than ", format_byte_size(kLeastDeviceBytesLeft),
                ": what is loaded and recorded later may not fit; give a smaller "
                "--max-batch-tokens or --expert-budget");
  }
}

}  // namespace switchyard
