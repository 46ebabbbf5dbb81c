#include "runtime/checkpoint/torch_writer.h"

#include <zlib.h>

#include <algorithm>
#include <string_view>

#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {
namespace {

std::string_view storage_class(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "FloatStorage";
    case DType::kF16:
      return "HalfStorage";
    case DType::kBF16:
      return "BFloat16Storage";
    default:
      SWITCHYARD_CHECK(false, "storages of ", name_of(dtype), " are not written");
  }
  return {};
}

/// Entries of the archive in the order of its layout; storage i is entry i + kFirstStorage.
constexpr size_t kDataEntry = 0;
constexpr size_t kByteOrderEntry = 1;
constexpr size_t kFirstStorage = 2;
constexpr std::string_view kByteOrder = "little";
constexpr std::string_view kVersion = "3\n";

uint32_t checksum(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

/// Writes the payloads of the storages; returns the checksum of each.
std::vector<uint32_t> write_storages(const TorchArchive& archive, const ZipLayout& layout,
                                     const StorageSource& source, ThreadPool& pool,
                                     const ByteCounter& counter, const StagedFile& file) {
  std::vector<StoragePlan> storages;
  for (size_t i = 0; i < archive.storages.size(); ++i) {
    const TorchStorage& storage = archive.storages[i];
    storages.push_back(
        {layout.payload_offset(kFirstStorage + i), storage.num_elements, size_of(storage.dtype)});
  }
  const std::vector<StoragePiece> pieces = split_storages(storages);
  std::vector<uint32_t> piece_crcs(pieces.size());
  write_pieces(
      storages, pieces, source, pool, counter,
      [&](size_t piece, std::string_view bytes) { piece_crcs[piece] = checksum(bytes); }, file);
  std::vector<uint32_t> crcs(storages.size());
  for (size_t i = 0; i < pieces.size(); ++i) {
    const StoragePiece& piece = pieces[i];
    const int64_t bytes = piece.count * storages[piece.storage].item_bytes;
    uint32_t& crc = crcs[piece.storage];
    crc = static_cast<uint32_t>(crc32_combine(crc, piece_crcs[i], bytes));
  }
  return crcs;
}

}  // namespace

void put_tensor(const TorchStorage& description, size_t storage, const std::vector<int64_t>& shape,
                PickleWriter& pickle) {
  const auto put_numbers = [&](const std::vector<int64_t>& numbers) {
    pickle.begin_tuple();
    for (const int64_t number : numbers) pickle.integer(number);
    pickle.end_tuple();
  };
  pickle.global("torch._utils", "_rebuild_tensor_v2");
  pickle.begin_tuple();
  pickle.begin_tuple();
  pickle.text("storage");
  pickle.global("torch", storage_class(description.dtype));
  pickle.text(std::to_string(storage));
  pickle.text("cpu");
  pickle.integer(description.num_elements);
  pickle.end_tuple();
  pickle.persistent();
  pickle.integer(0);  // offset in the storage
  put_numbers(shape);
  put_numbers(row_major_strides(shape));
  pickle.boolean(false);        // requires_grad
  pickle.begin_ordered_dict();  // backward hooks
  pickle.end_dict();
  pickle.end_tuple();
  pickle.call();
}

ZipLayout torch_layout(const TorchArchive& archive, const Zip64Thresholds& thresholds) {
  std::vector<ZipEntryPlan> entries = {
      {archive.root + "/data.pkl", static_cast<int64_t>(archive.data_pkl.size())},
      {archive.root + "/byteorder", static_cast<int64_t>(kByteOrder.size())}};
  for (size_t i = 0; i < archive.storages.size(); ++i) {
    const TorchStorage& storage = archive.storages[i];
    entries.push_back(
        {concat(archive.root, "/data/", i), storage.num_elements * size_of(storage.dtype)});
  }
  entries.push_back({archive.root + "/version", static_cast<int64_t>(kVersion.size())});
  return ZipLayout(std::move(entries), thresholds);
}

void write_torch_file(const TorchArchive& archive, const ZipLayout& layout,
                      const StorageSource& source, ThreadPool& pool, const ByteCounter& counter,
                      StagedFile& file) {
  const size_t version_entry = kFirstStorage + archive.storages.size();
  std::vector<uint32_t> crcs(version_entry + 1);
  const auto write_text = [&](size_t entry, std::string_view text) {
    crcs[entry] = checksum(text);
    file.write_at(layout.payload_offset(entry), text);
  };
  write_text(kDataEntry, archive.data_pkl);
  write_text(kByteOrderEntry, kByteOrder);
  write_text(version_entry, kVersion);
  const std::vector<uint32_t> storage_crcs =
      write_storages(archive, layout, source, pool, counter, file);
  std::copy(storage_crcs.begin(), storage_crcs.end(),
            crcs.begin() + static_cast<int64_t>(kFirstStorage));
  // The headers come last: only now are the checksums known.
  for (size_t entry = 0; entry < crcs.size(); ++entry) {
    file.write_at(layout.header_offset(entry), layout.local_header(entry, crcs[entry]));
  }
  file.write_at(layout.directory_offset(), layout.directory(crcs));
  file.close();
}

}  // namespace switchyard
