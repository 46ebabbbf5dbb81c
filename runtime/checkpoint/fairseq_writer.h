// Writes a model in the files that fairseq stores it in.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "runtime/checkpoint/torch_writer.h"
#include "runtime/model_preset.h"

namespace switchyard {

/// One file of a checkpoint, before it is written.
struct FairseqFilePlan {
  enum class Content : uint8_t {
    kWeights,  ///< a tensor of the model
    kVersion,  ///< decoder.version
    kUnused,   ///< what fairseq stores and never reads
  };
  struct Storage {
    std::string name;  // of the model's tensor; experts by their number in the model
    std::vector<int64_t> shape;
    Content content = Content::kWeights;
  };
  struct Tensor {
    std::string name;  // in the file; experts by their number in the file
    size_t storage = 0;
  };

  std::string file_name;  // as "model-rank-3.pt"
  std::vector<Storage> storages;
  std::vector<Tensor> tensors;  // in the order of the file
};

/// The files of a model: model.pt, or model-shared.pt and then model-rank-0.pt and so on, which
/// hold equally many experts of every MoE layer. Throws Error(kUsage) when one file would hold more
/// tensors than can be read back.
std::vector<FairseqFilePlan> plan_fairseq_files(const ModelPreset& model);

/// A file's object tree and storages.
TorchArchive make_fairseq_archive(const FairseqFilePlan& plan, const ModelPreset& model);

/// Gives elements [first, first + count) of a model's tensor, rows first, in the model's dtype. Any
/// thread.
using WeightSource = std::function<void(const std::string& name, const std::vector<int64_t>& shape,
                                        int64_t first, int64_t count, void* to)>;

/// The contents of a file's storages: the weights, and what else fairseq stores. `plan` and
/// `weights` must outlive it.
StorageSource make_fairseq_source(const FairseqFilePlan& plan, DType dtype,
                                  const WeightSource& weights);

}  // namespace switchyard
