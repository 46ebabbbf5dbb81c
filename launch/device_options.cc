#include "launch/device_options.h"

#include "launch/option_values.h"

namespace switchyard {
namespace {

constexpr int64_t kMaxDevices = 1024;  // above any machine

}  // namespace

OptionGroup device_options(RunOptions& o) {
  const auto set_device = [&o](const std::string& text) {
    o.device.device.reset();
    if (text == "auto") return;
    o.device.device = static_cast<int>(parse_whole_number(text, 0, kMaxDevices));
  };
  return {
      "GPUs (no result depends on these)",
      {{.name = "device",
        .value_name = "N",
        .default_text = "auto",
        .help = "GPU of each rank, of those it sees; auto: each rank of a node its own",
        .set = set_device,
        .scope = OptionScope::kRank},
       {.name = "share-devices",
        .default_text = "false",
        .help = "several ranks may compute on one GPU; they exchange over MPI then",
        .set = store_choice(o.device.sharing, {{"true", DeviceSharing::kAllowed},
                                               {"false", DeviceSharing::kRefused}})},
       {.name = "transport",
        .value_name = "auto|nccl|mpi",
        .default_text = "auto",
        .help = "how GPUs exchange rows; auto: over NCCL where every rank has a GPU of its own, "
                "else over MPI",
        .set = store_choice(
            o.transport,
            {{"auto", Transport::kAuto}, {"nccl", Transport::kNccl}, {"mpi", Transport::kMpi}})}}};
}

}  // namespace switchyard
