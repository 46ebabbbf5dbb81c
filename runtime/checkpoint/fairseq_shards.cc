#include "runtime/checkpoint/fairseq_shards.h"

#include <algorithm>
#include <map>
#include <set>

#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_names.h"
#include "runtime/checkpoint/tensor_slice.h"

namespace switchyard {
namespace {

class ShardJoiner {
 public:
  ShardJoiner(const std::vector<FairseqHeader>& headers, const std::vector<size_t>& group)
      : headers_(headers), group_(group) {}

  std::vector<TorchTensor> join() {
    for (const size_t file : group_) add_shard(file);
    check_names();
    add_other_tensors();
    for (const FlatParameter& flat : headers_[group_[0]].flat) add_parameters(flat);
    return std::move(joined_);
  }

 private:
  struct Shard {
    std::map<std::string, const TorchTensor*> tensors;  // by name without wrappers
    std::map<std::string, const FlatParameter*> flat;
  };

  [[noreturn]] void fail(size_t shard, const std::string& name, const std::string& problem) const {
    fail_input(path(shard), ": tensor '", printable(name), "' ", problem);
  }
  const std::string& path(size_t shard) const { return headers_[group_[shard]].file.path; }
  void add_shard(size_t file);
  void add_other_tensors();
  void check_names() const;
  void check_piece(size_t shard, const FlatParameter& flat, const TorchTensor& first) const;
  std::vector<TensorRun> pieces_of(const FlatParameter& flat) const;
  void add_parameters(const FlatParameter& flat);

  const std::vector<FairseqHeader>& headers_;
  const std::vector<size_t>& group_;
  std::vector<Shard> shards_;
  std::vector<TorchTensor> joined_;
};

void ShardJoiner::add_shard(size_t file) {
  Shard shard;
  for (const TorchTensor& tensor : headers_[file].tensors) {
    const auto [other, added] = shard.tensors.emplace(without_wrappers(tensor.name), &tensor);
    if (!added) {
      fail_input(headers_[file].file.path, ": tensors '", printable(other->second->name), "' and '",
                 printable(tensor.name), "' are the same without wrappers' names");
    }
  }
  for (const FlatParameter& flat : headers_[file].flat) shard.flat.emplace(flat.name, &flat);
  shards_.push_back(std::move(shard));
}

void ShardJoiner::check_names() const {
  for (size_t shard = 1; shard < shards_.size(); ++shard) {
    for (const auto& [name, tensor] : shards_[shard].tensors) {
      if (shards_[0].tensors.count(name) == 0) {
        fail(shard, tensor->name, concat("is missing in ", path(0)));
      }
    }
  }
}

/// Buffers, of which every shard has a copy; the reference takes the first shard's.
void ShardJoiner::add_other_tensors() {
  for (const TorchTensor& tensor : headers_[group_[0]].tensors) {
    if (is_flat_name(tensor.name)) continue;
    joined_.push_back(tensor);
    joined_.back().entry.file = static_cast<int32_t>(group_[0]);
  }
}

void ShardJoiner::check_piece(size_t shard, const FlatParameter& flat,
                              const TorchTensor& first) const {
  const auto found = shards_[shard].tensors.find(flat.name);
  if (found == shards_[shard].tensors.end()) {
    fail_input(path(shard), ": tensor '", printable(flat.name), "' is missing, but stands in ",
               path(0));
  }
  const TorchTensor& piece = *found->second;
  const TensorEntry& entry = piece.entry;
  if (entry.shape.size() != 1 || !entry.is_contiguous()) {
    fail(shard, piece.name, "is flat, but not a row of elements without gaps");
  }
  const FlatParameter& mine = *shards_[shard].flat.at(flat.name);
  if (mine.names != flat.names || mine.shapes != flat.shapes || mine.spread != flat.spread) {
    fail(shard, piece.name, concat("is described otherwise than in ", path(0)));
  }
  if (entry.shape[0] != first.entry.shape[0] || piece.storage_type != first.storage_type) {
    fail(shard, piece.name,
         concat("has ", entry.shape[0], " elements of ", piece.storage_type, ", but in ", path(0),
                " ", first.entry.shape[0], " of ", first.storage_type));
  }
  if (mine.padding > entry.shape[0]) {
    fail(shard, piece.name,
         concat("has ", entry.shape[0], " elements, but a padding of ", mine.padding));
  }
}

std::vector<TensorRun> ShardJoiner::pieces_of(const FlatParameter& flat) const {
  const size_t num_pieces = flat.spread == FlatSpread::kOwnShard ? 1 : shards_.size();
  std::vector<TensorRun> pieces;
  for (size_t shard = 0; shard < num_pieces; ++shard) {
    check_piece(shard, flat, *shards_[0].tensors.at(flat.name));
    const TorchTensor& piece = *shards_[shard].tensors.at(flat.name);
    const int64_t padding = shards_[shard].flat.at(flat.name)->padding;
    pieces.push_back(
        {{static_cast<int32_t>(group_[shard]), piece.entry.offset, piece.entry.shape[0] - padding},
         piece.places[0]});
  }
  return pieces;
}

void ShardJoiner::add_parameters(const FlatParameter& flat) {
  const TorchTensor& first = *shards_[0].tensors.at(flat.name);
  const std::vector<TensorRun> pieces = pieces_of(flat);
  __int128 held = 0;
  for (const TensorRun& piece : pieces) held += piece.extent.count;
  __int128 described = 0;
  std::vector<int64_t> counts;
  for (const std::vector<int64_t>& shape : flat.shapes) {
    counts.push_back(1);
    for (const int64_t size : shape) counts.back() *= size;
    described += counts.back();
  }
  if (held != described) {
    fail(0, first.name,
         concat("has ", static_cast<int64_t>(held), " elements without padding in ", pieces.size(),
                pieces.size() == 1 ? " shard" : " shards", ", but its parameters have ",
                static_cast<int64_t>(described), "; are all shards there?"));
  }
  int64_t begin = 0;
  for (size_t i = 0; i < flat.names.size(); ++i) {
    TorchTensor parameter = first;
    parameter.name = flat.names[i];
    parameter.entry.shape = flat.shapes[i];
    parameter.entry.file = static_cast<int32_t>(group_[0]);
    set_runs(cut_runs(pieces, size_of(first.entry.dtype), begin, counts[i]), parameter);
    begin += counts[i];
    joined_.push_back(std::move(parameter));
  }
}

}  // namespace

std::vector<TorchTensor> join_shards(const std::vector<FairseqHeader>& headers,
                                     const std::vector<size_t>& group) {
  return ShardJoiner(headers, group).join();
}

}  // namespace switchyard
