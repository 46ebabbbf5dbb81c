#include "runtime/synthetic_files.h"

#include <memory>
#include <utility>

#include "runtime/checkpoint/fairseq_writer.h"
#include "runtime/checkpoint/synthetic_weights.h"
#include "runtime/families/hf_writer.h"

namespace switchyard {
namespace {

std::vector<SyntheticFile> fairseq_files(const ModelPreset& model,
                                         const std::shared_ptr<SyntheticWeights>& weights) {
  const WeightSource source = [&model, weights](const std::string& name,
                                                const std::vector<int64_t>& shape, int64_t first,
                                                int64_t count, void* to) {
    weights->fill(synthetic_tensor(model.config, name, shape, model.dtype), first, count, to);
  };
  std::vector<SyntheticFile> files;
  for (FairseqFilePlan& plan : plan_fairseq_files(model)) {
    SyntheticFile& file = files.emplace_back();
    const auto shared = std::make_shared<const FairseqFilePlan>(std::move(plan));
    file.name = shared->file_name;
    file.bytes = [&model, shared] {
      return torch_layout(make_fairseq_archive(*shared, model)).file_bytes();
    };
    file.write = [&model, shared, source](ThreadPool& pool, const ByteCounter& counter,
                                          StagedFile& to) {
      const TorchArchive archive = make_fairseq_archive(*shared, model);
      write_torch_file(archive, torch_layout(archive),
                       make_fairseq_source(*shared, model.dtype, source), pool, counter, to);
    };
  }
  return files;
}

SyntheticFile text_file(const std::string& name, const std::string& text) {
  SyntheticFile file;
  file.name = name;
  file.bytes = [size = text.size()] { return static_cast<int64_t>(size); };
  file.write = [text](ThreadPool&, const ByteCounter& counter, StagedFile& to) {
    to.write_at(0, text);
    to.close();
    counter(static_cast<int64_t>(text.size()));
  };
  return file;
}

std::vector<SyntheticFile> hf_files(const ModelPreset& model,
                                    const std::shared_ptr<SyntheticWeights>& weights) {
  std::vector<SyntheticFile> files = {text_file("config.json", model.hf->config_text)};
  if (!model.hf->generation_text.empty()) {
    files.push_back(text_file("generation_config.json", model.hf->generation_text));
  }
  std::vector<HfShard> shards = plan_hf_shards(*model.hf, model.name);
  if (shards.size() > 1) {
    files.push_back(text_file("model.safetensors.index.json", hf_index_text(shards)));
  }
  for (HfShard& shard : shards) {
    SyntheticFile& file = files.emplace_back();
    const auto shared = std::make_shared<const HfShard>(std::move(shard));
    file.name = shared->file_name;
    file.bytes = [shared] { return file_bytes(*shared); };
    file.write = [shared, weights](ThreadPool& pool, const ByteCounter& counter, StagedFile& to) {
      write_hf_shard(*shared, *weights, pool, counter, to);
    };
  }
  return files;
}

}  // namespace

std::vector<SyntheticFile> synthetic_files(const ModelPreset& model, uint64_t seed) {
  const auto weights = std::make_shared<SyntheticWeights>(seed);
  return model.hf ? hf_files(model, weights) : fairseq_files(model, weights);
}

}  // namespace switchyard
