#include "parallel/nccl/nccl_transport.h"

#include <nccl.h>

#include <map>
#include <utility>
#include <vector>

#include "kernels/base/byte_codec.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/cuda/cuda_backend.h"
#include "parallel/control_channel.h"
#include "parallel/nccl/nccl_communicator.h"
#include "parallel/topology.h"

namespace switchyard {
namespace {

constexpr CollectiveLabel kSetupLabel{.phase = "choice of the transport"};

/// What a rank tells the others before they connect.
struct Candidate {
  int node = 0;
  std::string hostname;
  std::string bus_id;  // empty: no GPU
  int version = 0;     // of NCCL
};

std::vector<Candidate> gather_candidates(ControlChannel& control, Backend& backend) {
  const Topology topology = discover_topology(control);
  const auto* const gpu = dynamic_cast<const CudaBackend*>(&backend);
  int version = 0;
  ncclGetVersion(&version);
  ByteWriter writer;
  writer.put(topology.node);
  writer.put_string(topology.hostname);
  writer.put_string(gpu == nullptr ? "" : gpu->facts().bus_id);
  writer.put(version);
  std::vector<Candidate> candidates;
  for (const std::string& message : control.all_gather(writer.bytes(), kSetupLabel)) {
    ByteReader reader(message);
    Candidate& candidate = candidates.emplace_back();
    candidate.node = reader.get<int>();
    candidate.hostname = reader.get_string();
    candidate.bus_id = reader.get_string();
    candidate.version = reader.get<int>();
  }
  return candidates;
}

std::string obstacle_among(const std::vector<Candidate>& ranks) {
  std::map<std::pair<int, std::string>, size_t> owners;  // of GPUs
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const Candidate& own = ranks[rank];
    if (own.bus_id.empty()) {
      return concat("rank ", rank, " on node '", own.hostname,
                    "' does not compute on a GPU (--backend cuda)");
    }
    const auto [owner, is_new] = owners.insert({{own.node, own.bus_id}, rank});
    if (!is_new) {
      return concat("ranks ", owner->second, " and ", rank, " share the GPU ", own.bus_id,
                    " of node '", own.hostname,
                    "', and NCCL takes one rank a GPU: start one rank a GPU, or exchange with "
                    "--transport mpi");
    }
    if (own.version != ranks[0].version) {
      return concat("rank ", rank, " has NCCL ", own.version, ", rank 0 has ", ranks[0].version,
                    ": start the same build everywhere");
    }
  }
  return "";
}

}  // namespace

std::string nccl_obstacle(Communicator& host, Backend& backend) {
  ControlChannel control(backend, host);
  return obstacle_among(gather_candidates(control, backend));
}

std::unique_ptr<Communicator> make_nccl_communicator(std::unique_ptr<Communicator> host,
                                                     Backend& backend,
                                                     const CommunicatorOptions& options) {
  const std::string obstacle = nccl_obstacle(*host, backend);
  if (!obstacle.empty()) throw AgreedError(ErrorKind::kUsage, "--transport nccl: " + obstacle);
  return over_nccl(std::move(host), dynamic_cast<CudaBackend&>(backend), options);
}

std::unique_ptr<Communicator> choose_transport(std::unique_ptr<Communicator> host, Backend& backend,
                                               const CommunicatorOptions& options) {
  switch (options.transport) {
    case Transport::kMpi:
      return host;
    case Transport::kNccl:
      return make_nccl_communicator(std::move(host), backend, options);
    case Transport::kAuto:
      break;
  }
  if (dynamic_cast<CudaBackend*>(&backend) == nullptr) return host;
  const std::string obstacle = nccl_obstacle(*host, backend);
  if (obstacle.empty())
    return over_nccl(std::move(host), dynamic_cast<CudaBackend&>(backend), options);
  if (host->rank() == 0) {
    log_warning("rows travel over ", host->transport(), ", not over NCCL: ", obstacle);
  }
  return host;
}

}  // namespace switchyard
