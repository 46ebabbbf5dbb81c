#include "runtime/checkpoint/fairseq_parts.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "kernels/base/error.h"
#include "runtime/checkpoint/fairseq_shards.h"

namespace switchyard {
namespace {

constexpr const char* kRemedy = "; copies must be equal: remove those that are out of date";

FairseqPart make_part(const std::vector<FairseqHeader>& headers, const std::vector<size_t>& group) {
  FairseqPart part;
  part.file = group[0];
  for (const TorchTensor& tensor : join_shards(headers, group)) {
    add_by_current_name(headers[group[0]].file.path, tensor, part.tensors);
  }
  return part;
}

/// Groups of headers that each hold the whole main part: the plain file, and either all shards
/// together or every one of them.
std::vector<std::vector<size_t>> group_main_files(const std::vector<FairseqHeader>& headers) {
  std::vector<std::vector<size_t>> groups;
  std::vector<size_t> shards;
  for (size_t i = 0; i < headers.size(); ++i) {
    if (headers[i].file.role == FairseqFileRole::kRank) continue;
    if (headers[i].file.shard < 0) {
      groups.push_back({i});
    } else {
      shards.push_back(i);
    }
  }
  if (shards.empty()) return groups;
  const FairseqHeader& first = headers[shards[0]];
  for (size_t i = 0; i < shards.size(); ++i) {
    const FairseqHeader& shard = headers[shards[i]];
    if (shard.flat.empty() != first.flat.empty()) {
      const bool flat = first.flat.empty();
      fail_input(shard.file.path, ": holds ", flat ? "flat" : "whole", " tensors, but ",
                 first.file.path, " holds ", flat ? "whole" : "flat",
                 " ones; the files are of different checkpoints");
    }
    if (first.flat.empty()) {
      groups.push_back({shards[i]});
    } else if (shard.file.shard != static_cast<int64_t>(i)) {
      fail_input(shard.file.path, ": is there, but shard ", i,
                 " is missing; the shards must be numbered from 0 without a gap");
    }
  }
  if (!first.flat.empty()) groups.push_back(std::move(shards));
  return groups;
}

/// Whether checksums prove the tensors equal: the same elements of storages of equal contents.
bool proven_equal(const TorchTensor& one, const TorchTensor& other) {
  return one.places == other.places && one.entry.strides == other.entry.strides &&
         std::none_of(one.places.begin(), one.places.end(),
                      [](const StoragePlace& place) { return place.crc32 == 0; });
}

/// A tensor whose reading has no bound in the size of its file.
bool repeats_elements(const TorchTensor& tensor) {
  return tensor.entry.extents.empty() &&
         tensor.entry.num_elements() > tensor.places[0].storage_elements;
}

/// Compares a copy of the main part with the one that is used.
void compare_parts(const std::vector<FairseqHeader>& headers, const FairseqPart& used,
                   const FairseqPart& copy, std::vector<UnprovenCopy>& unproven) {
  const std::string& used_path = headers[used.file].file.path;
  const std::string& copy_path = headers[copy.file].file.path;
  std::map<std::string, const TorchTensor*> rest;
  for (const NamedTensor& tensor : copy.tensors) rest[tensor.name] = &tensor.stored;
  for (const NamedTensor& tensor : used.tensors) {
    const auto found = rest.find(tensor.name);
    if (found == rest.end()) {
      fail_input(copy_path, ": tensor '", printable(tensor.stored.name), "' of ", used_path,
                 " is missing", kRemedy);
    }
    const TorchTensor& other = *found->second;
    rest.erase(found);
    if (is_leftover(tensor.name)) continue;
    if (other.entry.shape != tensor.stored.entry.shape ||
        other.storage_type != tensor.stored.storage_type) {
      fail_input(copy_path, ": tensor '", printable(other.name),
                 "' has another shape or type than in ", used_path, kRemedy);
    }
    if (other.support != TensorSupport::kReadable || proven_equal(tensor.stored, other)) continue;
    if (repeats_elements(tensor.stored) || repeats_elements(other)) {
      fail_input(copy_path, ": tensor '", printable(other.name), "', which is in ", used_path,
                 " too, has more elements than its storage; such copies are not compared");
    }
    unproven.push_back({other.name, tensor.stored.entry, other.entry});
  }
  if (!rest.empty()) {
    fail_input(copy_path, ": tensor '", printable(rest.begin()->second->name), "' is missing in ",
               used_path, kRemedy);
  }
}

void compare_copy(const CheckpointIndex& index, TensorReader& reader, const UnprovenCopy& pair) {
  constexpr int64_t kPieceBytes = int64_t{4} << 20;
  const int64_t item = size_of(pair.used.dtype);
  const int64_t total = pair.used.num_elements();
  const int64_t most = std::min(total, kPieceBytes / item);
  std::vector<char> used(static_cast<size_t>(most * item));
  std::vector<char> copy(used.size());
  for (int64_t first = 0; first < total; first += most) {
    const int64_t count = std::min(most, total - first);
    reader.read(pair.name, pair.used, first, count, used.data());
    reader.read(pair.name, pair.copy, first, count, copy.data());
    if (std::memcmp(used.data(), copy.data(), static_cast<size_t>(count * item)) != 0) {
      const auto path = [&](const TensorEntry& entry) {
        return index.files.at(static_cast<size_t>(entry.file)).path;
      };
      fail_input(path(pair.copy), ": tensor '", printable(pair.name),
                 "' has other contents than in ", path(pair.used), kRemedy);
    }
  }
}

}  // namespace

FairseqParts collect_fairseq_parts(const std::vector<FairseqHeader>& headers) {
  FairseqParts parts;
  bool first = true;
  for (const std::vector<size_t>& group : group_main_files(headers)) {
    FairseqPart part = make_part(headers, group);
    if (first) {
      parts.main = std::move(part);
    } else {
      compare_parts(headers, parts.main, part, parts.unproven);
    }
    first = false;
  }
  for (size_t i = 0; i < headers.size(); ++i) {
    if (headers[i].file.role == FairseqFileRole::kRank) {
      parts.ranks.push_back(make_part(headers, {i}));
    }
  }
  return parts;
}

int64_t compare_copies(const CheckpointIndex& index, const std::vector<UnprovenCopy>& copies,
                       size_t first, size_t stride) {
  TensorReader reader(index);
  for (size_t i = first; i < copies.size(); i += stride) compare_copy(index, reader, copies[i]);
  return reader.bytes_read();
}

}  // namespace switchyard
