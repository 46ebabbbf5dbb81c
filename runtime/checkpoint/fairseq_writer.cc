#include "runtime/checkpoint/fairseq_writer.h"

#include <cstring>
#include <map>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/value_text.h"
#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/checkpoint/fairseq_defaults.h"
#include "runtime/checkpoint/pickle.h"

namespace switchyard {
namespace {

using Content = FairseqFilePlan::Content;

/// A tensor takes 12 nodes of the reader's; the configuration some hundred more.
constexpr auto kMostTensors = static_cast<int64_t>(PickleLimits{}.max_nodes / 16);

/// Of the layout that has a norm after the last layer.
constexpr float kDecoderVersion = 3.0f;

void add(const std::string& name, const std::vector<int64_t>& shape, Content content,
         FairseqFilePlan& file) {
  file.tensors.push_back({name, file.storages.size()});
  file.storages.push_back({name, shape, content});
}

/// Where an expert's tensor stands.
struct ExpertPlace {
  size_t file = 0;
  std::string name;  // in that file
};

/// The places of all experts' tensors by their names in the model.
std::map<std::string, ExpertPlace> place_experts(const ModelPreset& model) {
  std::map<std::string, ExpertPlace> places;
  if (model.rank_files == 0) return places;
  const TensorNames& names = model.config.names;
  const int64_t per_file = model.config.router.num_experts / model.rank_files;
  for (const int layer : model.config.moe_layers()) {
    for (int64_t expert = 0; expert < model.config.router.num_experts; ++expert) {
      const auto file = static_cast<size_t>(1 + expert / per_file);
      for (const std::string& map : {names.expert_up, names.expert_down}) {
        for (const char* part : {".weight", ".bias"}) {
          places[tensor_name(map, layer, expert) + part] = {
              file, tensor_name(map, layer, expert % per_file) + part};
        }
      }
    }
  }
  return places;
}

/// Refuses a file with more tensors than the reader takes, before they are listed.
void require_readable_files(const ModelPreset& model) {
  const ModelConfig& config = model.config;
  // Of a dense layer, the largest number; the tables and the last norm are no more than 8.
  const int64_t most_shared = 16 * int64_t{config.num_layers()} + 8;
  if (most_shared > kMostTensors) {
    fail_usage(model.name, ": ", config.num_layers(), " layers make ", most_shared,
               " tensors of one file; expected at most ", kMostTensors, "; give fewer layers");
  }
  if (model.rank_files == 0) return;
  const int64_t in_rank_file =
      4 * config.num_moe_layers() * (config.router.num_experts / model.rank_files);
  if (in_rank_file > kMostTensors) {
    fail_usage(model.name, ": model-rank-0.pt would hold ", in_rank_file,
               " tensors; expected at most ", kMostTensors, "; give more --rank-files");
  }
}

/// Writes one setting's text as the value that it stands for.
void put_setting(std::string_view text, PickleWriter& pickle) {
  if (text == "None") return pickle.none();
  if (text == "True" || text == "False") return pickle.boolean(text == "True");
  if (text.starts_with('\'')) return pickle.text(text.substr(1, text.size() - 2));
  if (text.starts_with('[')) {
    pickle.begin_list();
    put_setting(text.substr(1, text.size() - 2), pickle);
    return pickle.end_list();
  }
  if (const auto whole = parse_number<int64_t>(text)) return pickle.integer(*whole);
  const auto number = parse_number<double>(text);
  SWITCHYARD_CHECK(number, "no value of a setting: ", text);
  pickle.real(*number);
}

/// cfg: a dictionary of sections, each a dictionary of settings.
void put_configuration(const FairseqSettings& settings, PickleWriter& pickle) {
  FairseqSettings all = settings;
  all.insert(fairseq_default_settings().begin(), fairseq_default_settings().end());
  std::map<std::string, std::map<std::string, std::string>> sections;
  pickle.begin_dict();
  for (const auto& [name, text] : all) {
    const size_t dot = name.find('.');
    if (dot != std::string::npos) {
      sections[name.substr(0, dot)][name.substr(dot + 1)] = text;
      continue;
    }
    pickle.text(name);
    put_setting(text, pickle);
  }
  for (const auto& [section, values] : sections) {
    pickle.text(section);
    pickle.begin_dict();
    for (const auto& [name, text] : values) {
      pickle.text(name);
      put_setting(text, pickle);
    }
    pickle.end_dict();
  }
  pickle.end_dict();
}

void put_text_item(std::string_view key, std::string_view value, PickleWriter& pickle) {
  pickle.text(key);
  pickle.text(value);
}

void put_number_item(std::string_view key, int64_t value, PickleWriter& pickle) {
  pickle.text(key);
  pickle.integer(value);
}

void put_none_item(std::string_view key, PickleWriter& pickle) {
  pickle.text(key);
  pickle.none();
}

/// What a training leaves beside the model, for a training that never was: fairseq's loader wants
/// the keys.
void put_training_state(PickleWriter& pickle) {
  put_none_item("args", pickle);
  put_none_item("criterion", pickle);
  pickle.text("optimizer_history");
  pickle.begin_list();
  pickle.begin_dict();
  put_text_item("criterion_name", "MoECrossEntropyCriterion", pickle);
  put_text_item("optimizer_name", "FairseqAdam", pickle);
  pickle.text("lr_scheduler_state");
  pickle.begin_dict();
  put_none_item("best", pickle);
  pickle.end_dict();
  put_number_item("num_updates", 0, pickle);
  pickle.end_dict();
  pickle.end_list();
  pickle.text("task_state");
  pickle.begin_dict();
  pickle.end_dict();
  pickle.text("extra_state");
  pickle.begin_dict();
  pickle.text("train_iterator");
  pickle.begin_dict();
  put_number_item("version", 2, pickle);
  put_number_item("epoch", 1, pickle);
  put_number_item("iterations_in_epoch", 0, pickle);
  pickle.text("shuffle");
  pickle.boolean(true);
  pickle.end_dict();
  put_none_item("val_loss", pickle);
  pickle.end_dict();
}

}  // namespace

std::vector<FairseqFilePlan> plan_fairseq_files(const ModelPreset& model) {
  const ModelConfig& config = model.config;
  require_readable_files(model);
  std::vector<FairseqFilePlan> files(static_cast<size_t>(1 + model.rank_files));
  files[0].file_name = model.rank_files == 0 ? "model.pt" : "model-shared.pt";
  for (size_t i = 1; i < files.size(); ++i) {
    files[i].file_name = concat("model-rank-", i - 1, ".pt");
  }
  add("decoder.version", {1}, Content::kVersion, files[0]);
  if (config.position_kind == PositionKind::kSinusoidal) {
    add("decoder.embed_positions._float_tensor", {1}, Content::kUnused, files[0]);
  }
  const std::map<std::string, ExpertPlace> experts = place_experts(model);
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    const auto place = experts.find(tensor.name);
    FairseqFilePlan& file = files[place == experts.end() ? 0 : place->second.file];
    add(tensor.name, tensor.shape, Content::kWeights, file);
    if (place != experts.end()) file.tensors.back().name = place->second.name;
    if (config.names.output == config.names.embedding &&
        tensor.name == config.names.embedding + ".weight") {
      file.tensors.push_back({"decoder.output_projection.weight", file.tensors.back().storage});
    }
  }
  return files;
}

TorchArchive make_fairseq_archive(const FairseqFilePlan& plan, const ModelPreset& model) {
  TorchArchive archive;
  archive.root = plan.file_name.substr(0, plan.file_name.rfind('.'));
  for (const FairseqFilePlan::Storage& storage : plan.storages) {
    int64_t num_elements = 1;
    for (const int64_t size : storage.shape) num_elements *= size;
    archive.storages.push_back({model.dtype, num_elements});
  }
  PickleWriter pickle;
  pickle.begin_dict();
  pickle.text("cfg");
  put_configuration(model.settings, pickle);
  pickle.text("model");
  pickle.begin_ordered_dict();
  for (const FairseqFilePlan::Tensor& tensor : plan.tensors) {
    pickle.text(tensor.name);
    put_tensor(archive.storages[tensor.storage], tensor.storage,
               plan.storages[tensor.storage].shape, pickle);
  }
  pickle.end_dict();
  put_training_state(pickle);
  pickle.end_dict();
  archive.data_pkl = pickle.finish();
  return archive;
}

StorageSource make_fairseq_source(const FairseqFilePlan& plan, DType dtype,
                                  const WeightSource& weights) {
  return [&plan, dtype, &weights](size_t storage, int64_t first, int64_t count, void* to) {
    const FairseqFilePlan::Storage& one = plan.storages[storage];
    if (one.content == Content::kWeights) return weights(one.name, one.shape, first, count, to);
    const float value = one.content == Content::kVersion ? kDecoderVersion : 0.0f;
    convert_elements(DType::kF32, &value, dtype, to, 1);
  };
}

}  // namespace switchyard
