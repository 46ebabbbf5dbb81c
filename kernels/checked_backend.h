// The half of a backend that is the same on every device: checks of arguments.
#pragma once

#include <memory>
#include <vector>

#include "kernels/arguments.h"
#include "kernels/backend.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/capacity.h"
#include "kernels/cpu/clamp.h"
#include "kernels/cpu/combine.h"
#include "kernels/cpu/embed.h"
#include "kernels/cpu/finite.h"
#include "kernels/cpu/glu.h"
#include "kernels/cpu/grouped_ffn_driver.h"
#include "kernels/cpu/layer_norm.h"
#include "kernels/cpu/log_probs.h"
#include "kernels/cpu/matmul_driver.h"
#include "kernels/cpu/padded_slots.h"
#include "kernels/cpu/rms_norm.h"
#include "kernels/cpu/rope.h"
#include "kernels/cpu/route.h"
#include "kernels/cpu/rows.h"
#include "kernels/cpu/sample.h"
#include "kernels/cpu/sinusoidal_positions.h"

namespace switchyard {

/// Checks the arguments of every operation, turns them into the parameters that kernels take, with
/// addresses as the device finds them, and hands these to run_X() of the device's backend, which
/// enqueues the work.
class CheckedBackend : public Backend, protected AddressResolver {
 public:
  void sinusoidal_positions(Stream& stream, const SinusoidalPositionsArgs& args) final;
  void embed(Stream& stream, const EmbedArgs& args) final;
  void layer_norm(Stream& stream, const LayerNormArgs& args) final;
  void rms_norm(Stream& stream, const RmsNormArgs& args) final;
  void matmul(Stream& stream, const MatmulArgs& args) final;
  void heads_matmul(Stream& stream, const HeadsMatmulArgs& args) final;
  void clamp(Stream& stream, const ClampArgs& args) final;
  void rope_table(Stream& stream, const RopeTableArgs& args) final;
  void rope(Stream& stream, const RopeArgs& args) final;
  void store_key_values(Stream& stream, const StoreKeyValuesArgs& args) final;
  void attention(Stream& stream, const AttentionArgs& args) final;
  void glu(Stream& stream, const GluArgs& args) final;
  void route(Stream& stream, const RouteArgs& args) final;
  void apply_capacity(Stream& stream, const ApplyCapacityArgs& args) final;
  void gather_rows(Stream& stream, const GatherRowsArgs& args) final;
  void scatter_rows(Stream& stream, const ScatterRowsArgs& args) final;
  void place_copies(Stream& stream, const PlaceCopiesArgs& args) final;
  void group_arrivals(Stream& stream, const GroupArrivalsArgs& args) final;
  void grouped_ffn(Stream& stream, const GroupedFfnArgs& args) final;
  void combine(Stream& stream, const CombineArgs& args) final;
  void log_probs(Stream& stream, const LogProbsArgs& args) final;
  void sample(Stream& stream, const SampleArgs& args) final;
  void find_non_finite(Stream& stream, const FindNonFiniteArgs& args) final;

 protected:
  Arguments arguments(const char* op) const { return Arguments(op, *this); }

 private:
  virtual void run_sinusoidal_positions(Stream& stream,
                                        const cpu::SinusoidalPositionsParams& params) = 0;
  virtual void run_embed(Stream& stream, const cpu::EmbedParams& params) = 0;
  virtual void run_layer_norm(Stream& stream, const cpu::LayerNormParams& params) = 0;
  virtual void run_rms_norm(Stream& stream, const cpu::RmsNormParams& params) = 0;
  virtual void run_clamp(Stream& stream, const cpu::ClampParams& params) = 0;
  virtual void run_rope_table(Stream& stream, const cpu::RopeTableParams& params) = 0;
  virtual void run_rope(Stream& stream, const cpu::RopeParams& params) = 0;
  virtual void run_glu(Stream& stream, const cpu::GluParams& params) = 0;
  virtual void run_route(Stream& stream, const cpu::RouteParams& params) = 0;
  virtual void run_gather_rows(Stream& stream, const cpu::CopyRowsParams& params) = 0;
  virtual void run_scatter_rows(Stream& stream, const cpu::CopyRowsParams& params) = 0;
  virtual void run_place_copies(Stream& stream, const cpu::PlaceCopiesParams& params) = 0;
  virtual void run_group_arrivals(Stream& stream, const cpu::GroupArrivalsParams& params) = 0;
  virtual void run_combine(Stream& stream, const cpu::CombineParams& params) = 0;
  virtual void run_log_probs(Stream& stream, const cpu::LogProbsParams& params) = 0;
  virtual void run_find_non_finite(Stream& stream, const cpu::FindNonFiniteParams& params) = 0;
  virtual void run_apply_capacity(Stream& stream, const cpu::CapacityParams& params,
                                  const std::vector<CapacityBatch>& batches) = 0;
  virtual void run_sample(Stream& stream, cpu::SampleParams params) = 0;
  virtual void run_store_key_values(Stream& stream, const cpu::StoreKeyValuesParams& params,
                                    cpu::PagedSequences rows) = 0;
  virtual void run_attention(Stream& stream, const cpu::AttentionParams& params,
                             cpu::PagedSequences rows) = 0;
  /// One product, of at least one row.
  virtual void run_matmul(Stream& stream, const cpu::HostMatmul& args) = 0;
  /// Products of as many rows each that do not depend on each other.
  virtual void run_matmuls(Stream& stream, std::vector<cpu::HostMatmul> jobs) = 0;
  /// At least one row.
  virtual void run_grouped_ffn(Stream& stream, std::shared_ptr<const cpu::GroupedFfnCall> call) = 0;
};

}  // namespace switchyard
