// The experts of a round on all threads.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/matmul_driver.h"

namespace switchyard::cpu {

/// ExpertWeights over host pointers.
struct HostExpert {
  Weight up;                         // [F or 2 F, D], packed
  const float* up_bias = nullptr;    // [rows of up] or null
  Weight down;                       // [D, F], packed
  const float* down_bias = nullptr;  // [D] or null
};

/// GroupedFfnArgs over host pointers. Group g is rows [row_offsets[g], row_offsets[g + 1]).
struct HostGroupedFfn {
  const float* rows = nullptr;           // [n, D]
  const int64_t* row_offsets = nullptr;  // [num_groups + 1]
  const HostExpert* experts = nullptr;   // [num_groups]
  int64_t num_groups = 0;
  FfnForm form;
  float* hidden = nullptr;   // [n, hidden_width] workspace
  int64_t hidden_width = 0;  // at least the rows of each `up`
  float* out = nullptr;      // [n, D], must not overlap rows
};

/// The products of one call; group by group, without those that have no rows.
struct FfnJobs {
  std::vector<HostMatmul> up;    // to the workspace
  std::vector<HostMatmul> down;  // of gated forms: from the first halves of the workspace's rows
};
FfnJobs plan_jobs(const HostGroupedFfn& args);

/// A call that owns what its arguments point to.
struct GroupedFfnCall {
  HostGroupedFfn args;
  std::vector<int64_t> row_offsets;
  std::vector<HostExpert> experts;
  int64_t num_rows = 0;
  /// [num_groups + 1] as the device will find them; then the others are null, and num_rows is what
  /// the last may be at most.
  const int32_t* device_offsets = nullptr;
};

/// Each group through its expert: all up matrices, the hidden units of gated forms in place, then
/// all down matrices, every thread busy in each. Numbers as matmul; groups may be empty.
void grouped_ffn(const CpuKernels& kernels, ThreadPool& pool, MatmulScratch& scratch,
                 const HostGroupedFfn& args);

}  // namespace switchyard::cpu
