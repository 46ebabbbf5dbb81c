#include "runtime/checkpoint/torch_writer.h"

#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <string_view>

#include "kernels/base/aligned_buffer.h"
#include "kernels/base/error.h"
#include "runtime/checkpoint/checkpoint.h"

namespace switchyard {
namespace {

/// What a thread makes and writes at a time. Its checksum is computed and its bytes are written
/// while they are in the core's cache.
constexpr int64_t kChunkBytes = int64_t{1} << 20;

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

/// Elements of a storage that one thread writes at a time.
struct Chunk {
  size_t storage = 0;
  int64_t first = 0;
  int64_t count = 0;
};

std::vector<Chunk> split(const std::vector<TorchStorage>& storages) {
  std::vector<Chunk> chunks;
  for (size_t i = 0; i < storages.size(); ++i) {
    const int64_t most = kChunkBytes / size_of(storages[i].dtype);
    for (int64_t first = 0; first < storages[i].num_elements; first += most) {
      chunks.push_back({i, first, std::min(most, storages[i].num_elements - first)});
    }
  }
  return chunks;
}

/// Writes the payloads of the storages; returns the checksum of each.
std::vector<uint32_t> write_storages(const TorchArchive& archive, const ZipLayout& layout,
                                     const StorageSource& source, ThreadPool& pool,
                                     const ByteCounter& counter, const StagedFile& file) {
  const std::vector<Chunk> chunks = split(archive.storages);
  std::vector<uint32_t> chunk_crcs(chunks.size());
  std::vector<AlignedBuffer> buffers;
  for (int i = 0; i < pool.num_threads(); ++i) buffers.emplace_back(kChunkBytes);
  std::atomic<int64_t> untold{0};
  pool.parallel_for(static_cast<int64_t>(chunks.size()), [&](int64_t task, int thread) {
    const Chunk& chunk = chunks[static_cast<size_t>(task)];
    char* buffer = static_cast<char*>(buffers[static_cast<size_t>(thread)].data());
    const int64_t item = size_of(archive.storages[chunk.storage].dtype);
    source(chunk.storage, chunk.first, chunk.count, buffer);
    const std::string_view bytes(buffer, static_cast<size_t>(chunk.count * item));
    chunk_crcs[static_cast<size_t>(task)] = checksum(bytes);
    file.write_at(layout.payload_offset(kFirstStorage + chunk.storage) + chunk.first * item, bytes);
    untold += static_cast<int64_t>(bytes.size());
    if (thread == 0) counter(untold.exchange(0));
  });
  counter(untold.exchange(0));
  std::vector<uint32_t> crcs(archive.storages.size());
  for (size_t i = 0; i < chunks.size(); ++i) {
    const Chunk& chunk = chunks[i];
    const int64_t bytes = chunk.count * size_of(archive.storages[chunk.storage].dtype);
    uint32_t& crc = crcs[chunk.storage];
    crc = static_cast<uint32_t>(crc32_combine(crc, chunk_crcs[i], bytes));
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
