#include "runtime/native_plan.h"

#include <utility>

#include "kernels/base/error.h"
#include "runtime/expert_reader.h"
#include "runtime/model_weights.h"

namespace switchyard {
namespace {

/// Gives each extent its place.
class ExtentPlacer {
 public:
  explicit ExtentPlacer(int64_t shard_bytes) : shard_bytes_(shard_bytes) {}

  PackedExtent place(int64_t bytes) {
    if (file_bytes_.empty() || file_bytes_.back() + whole_blocks(bytes) > shard_bytes_) {
      file_bytes_.push_back(0);
    }
    const PackedExtent extent{static_cast<int32_t>(file_bytes_.size()), file_bytes_.back(), bytes,
                              0};
    file_bytes_.back() += whole_blocks(bytes);
    return extent;
  }

  /// Of the files from number 1 on.
  const std::vector<int64_t>& file_bytes() const { return file_bytes_; }

 private:
  const int64_t shard_bytes_;
  std::vector<int64_t> file_bytes_;
};

/// What does not follow from the configuration.
GroupQuantization given_part(const GroupQuantization& quantization) {
  return quantization.is_given() ? quantization : GroupQuantization();
}

void plan_experts(const Checkpoint& checkpoint, const Backend& backend, ExtentPlacer& placer,
                  NativePlan& plan) {
  const ModelConfig& config = checkpoint.config;
  for (int layer = 0; layer < config.num_moe_layers(); ++layer) {
    std::vector<NativeExpert>& experts = plan.header.experts.emplace_back();
    for (int64_t expert = 0; expert < config.router_of(layer).num_experts; ++expert) {
      const ExpertId id{layer, expert};
      const ExpertShape shape = expert_shape(checkpoint, id);
      const PackedExtent extent = placer.place(expert_slot_bytes(shape, backend));
      experts.push_back({extent, shape.up.dtype, shape.down.dtype,
                         given_part(shape.up.quantization), given_part(shape.down.quantization)});
      plan.items.push_back({extent, id, {}, {}});
    }
  }
}

void plan_dense(const Checkpoint& checkpoint, const Backend& backend, ExtentPlacer& placer,
                NativePlan& plan) {
  for (const DenseSpec& spec : dense_table(checkpoint.config, checkpoint.index, backend)) {
    const WeightSpec weight = spec.weight_spec();
    if (weight.quantization.is_on()) {
      const PackedExtent extent = placer.place(spec.device_bytes);
      plan.header.matrices[spec.name] = {extent, spec.kept_as, given_part(spec.quantization)};
      plan.items.push_back({extent, std::nullopt, spec.name, weight});
    } else {
      plan.dense.tensors.push_back(
          {spec.name, safetensors_type_name(spec.kept_as), checkpoint.index.at(spec.name).shape});
      plan.kept_as.push_back(spec.kept_as);
    }
  }
}

}  // namespace

int64_t NativePlan::bytes() const {
  int64_t bytes = 0;
  for (const NativeFile& file : header.files) bytes += file.bytes;
  return bytes;
}

std::vector<std::string> NativePlan::file_names() const {
  std::vector<std::string> names;
  for (const NativeFile& file : header.files) names.push_back(file.name);
  return names;
}

NativePlan plan_native(const Checkpoint& checkpoint, const Backend& backend, int64_t shard_bytes) {
  NativePlan plan;
  plan.header.packing = backend.packing_name();
  plan.header.source = checkpoint.fingerprint;
  plan.header.config = checkpoint.config;
  ExtentPlacer placer(shard_bytes);
  plan_experts(checkpoint, backend, placer, plan);
  plan_dense(checkpoint, backend, placer, plan);
  plan.header.files.push_back({kNativeDenseFile, safetensors_bytes(plan.dense)});
  const std::vector<int64_t>& file_bytes = placer.file_bytes();
  for (size_t i = 0; i < file_bytes.size(); ++i) {
    plan.header.files.push_back({native_extent_file(i + 1, file_bytes.size()), file_bytes[i]});
  }
  return plan;
}

}  // namespace switchyard
