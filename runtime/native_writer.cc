#include "runtime/native_writer.h"

#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string_view>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/steady_seconds.h"
#include "runtime/checkpoint/strided_read.h"

namespace switchyard {
namespace {

uint32_t checksum(std::string_view bytes) {
  return static_cast<uint32_t>(
      crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

int64_t largest_item(const NativePlan& plan) {
  int64_t largest = 0;
  for (const NativeItem& item : plan.items) {
    largest = std::max(largest, whole_blocks(item.extent.bytes));
  }
  return largest;
}

}  // namespace

/// What one thread packs with.
class NativeWriter::Packer {
 public:
  explicit Packer(const NativeWriter& writer)
      : writer_(writer),
        stream_(writer.backend_.make_stream(StreamKind::kCompute)),
        reader_(writer.checkpoint_,
                std::make_unique<TensorReader>(writer.checkpoint_.index, FileCaching::kDirect),
                writer.backend_, stream_),
        slot_(writer.backend_.allocate(largest_item(writer.plan_))) {}

  uint32_t write(const NativeItem& item, const StagedFile& file) {
    pack(item);
    const double begin = steady_seconds();
    const char* bytes = static_cast<const char*>(slot_.data());
    const uint32_t crc = checksum({bytes, static_cast<size_t>(item.extent.bytes)});
    file.write_at(item.extent.offset,
                  {bytes, static_cast<size_t>(whole_blocks(item.extent.bytes))});
    write_seconds_ += steady_seconds() - begin;
    return crc;
  }

  PackingTimes times() const {
    return {reader_.counts().read_seconds, reader_.counts().pack_seconds, write_seconds_};
  }

 private:
  void pack(const NativeItem& item) {
    char* const base = static_cast<char*>(slot_.data());
    if (!item.expert) {
      clear(base + item.extent.bytes, item);
      return reader_.read_matrix(item.matrix, {item.spec, base});
    }
    const ExpertShape shape = expert_shape(writer_.checkpoint_, *item.expert);
    const ExpertWeights slot = expert_slot(shape, writer_.backend_, base);
    // Between the biases there may be bytes that belong to neither.
    clear(static_cast<char*>(slot.down.data) + writer_.backend_.packed_bytes(shape.down), item);
    reader_.read(*item.expert, slot);
  }

  /// Zeroes the slot from `begin` to the end of its last block.
  void clear(char* begin, const NativeItem& item) {
    char* const end = static_cast<char*>(slot_.data()) + whole_blocks(item.extent.bytes);
    std::memset(begin, 0, static_cast<size_t>(end - begin));
  }

  const NativeWriter& writer_;
  Stream stream_;
  ExpertReader reader_;
  DeviceBuffer slot_;
  double write_seconds_ = 0.0;
};

int64_t NativeWriter::bytes_per_thread(const Checkpoint& checkpoint, const NativePlan& plan) {
  std::vector<ExpertShape> shapes;
  for (const NativeItem& item : plan.items) {
    shapes.push_back(item.expert ? expert_shape(checkpoint, *item.expert)
                                 : ExpertShape{item.spec, item.spec, HasBias::kNo});
  }
  return largest_item(plan) + ExpertReader::staging_bytes(shapes) + kStridedStagingBytes +
         RandomFile::kBounceBytes;
}

NativeWriter::NativeWriter(const Checkpoint& checkpoint, const NativePlan& plan, Backend& backend,
                           int rank, int num_ranks)
    : checkpoint_(checkpoint), plan_(plan), backend_(backend), rank_(rank), num_ranks_(num_ranks) {}

NativeWriter::~NativeWriter() = default;

std::vector<WrittenPart> NativeWriter::write(size_t file_number, StagedFile& file, ThreadPool& pool,
                                             const ByteCounter& counter) {
  std::vector<WrittenPart> parts = file_number == 0 ? write_dense(file, pool, counter)
                                                    : write_items(file_number, file, pool, counter);
  file.close();
  return parts;
}

void NativeWriter::read_dense(size_t tensor, int64_t first, int64_t count, void* to) {
  std::unique_ptr<TensorReader> reader;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_readers_.empty()) {
      reader = std::move(idle_readers_.back());
      idle_readers_.pop_back();
    }
  }
  if (reader == nullptr) {
    reader = std::make_unique<TensorReader>(checkpoint_.index, FileCaching::kDirect);
  }
  const std::string& name = plan_.dense.tensors[tensor].name;
  const TensorEntry& entry = checkpoint_.index.at(name);
  const DType kept_as = plan_.kept_as[tensor];
  if (entry.dtype == kept_as) {
    reader->read(name, entry, first, count, to);
  } else {
    std::vector<char> stored(static_cast<size_t>(count * size_of(entry.dtype)));
    reader->read(name, entry, first, count, stored.data());
    convert_elements(entry.dtype, stored.data(), kept_as, to, count);
  }
  const std::lock_guard lock(mutex_);
  idle_readers_.push_back(std::move(reader));
}

std::vector<StoragePiece> dense_pieces(const NativePlan& plan) {
  return split_storages(safetensors_storages(plan.dense));
}

uint32_t dense_checksum(const NativePlan& plan, const std::vector<uint32_t>& piece_crcs) {
  const std::vector<StoragePlan> storages = safetensors_storages(plan.dense);
  const std::vector<StoragePiece> pieces = split_storages(storages);
  SWITCHYARD_CHECK(pieces.size() == piece_crcs.size());
  uint32_t crc = checksum(safetensors_header(plan.dense));
  for (size_t i = 0; i < pieces.size(); ++i) {
    const int64_t bytes = pieces[i].count * storages[pieces[i].storage].item_bytes;
    crc = static_cast<uint32_t>(crc32_combine(crc, piece_crcs[i], bytes));
  }
  return crc;
}

std::vector<WrittenPart> NativeWriter::write_dense(StagedFile& file, ThreadPool& pool,
                                                   const ByteCounter& counter) {
  if (rank_ == 0) file.write_at(0, safetensors_header(plan_.dense));
  const std::vector<StoragePiece> all = dense_pieces(plan_);
  std::vector<StoragePiece> mine;
  std::vector<WrittenPart> parts;
  for (size_t i = 0; i < all.size(); ++i) {
    if (!is_mine(static_cast<int64_t>(i))) continue;
    mine.push_back(all[i]);
    parts.push_back({static_cast<int64_t>(i), 0});
  }
  const StorageSource source = [this](size_t tensor, int64_t first, int64_t count, void* to) {
    read_dense(tensor, first, count, to);
  };
  const PieceObserver observer = [&](size_t piece, std::string_view bytes) {
    parts[piece].crc32 = checksum(bytes);
  };
  write_pieces(safetensors_storages(plan_.dense), mine, source, pool, counter, observer, file);
  return parts;
}

std::vector<WrittenPart> NativeWriter::write_items(size_t file_number, StagedFile& file,
                                                   ThreadPool& pool, const ByteCounter& counter) {
  std::vector<WrittenPart> parts;
  for (size_t i = 0; i < plan_.items.size(); ++i) {
    const bool is_here = static_cast<size_t>(plan_.items[i].extent.file) == file_number;
    if (is_here && is_mine(static_cast<int64_t>(i))) parts.push_back({static_cast<int64_t>(i), 0});
  }
  packers_.resize(static_cast<size_t>(pool.num_threads()));
  std::atomic<int64_t> untold{0};
  pool.parallel_for(static_cast<int64_t>(parts.size()), [&](int64_t task, int thread) {
    std::unique_ptr<Packer>& packer = packers_[static_cast<size_t>(thread)];
    if (packer == nullptr) packer = std::make_unique<Packer>(*this);
    WrittenPart& part = parts[static_cast<size_t>(task)];
    const NativeItem& item = plan_.items[static_cast<size_t>(part.number)];
    part.crc32 = packer->write(item, file);
    untold += whole_blocks(item.extent.bytes);
    if (thread == 0) counter(untold.exchange(0));
  });
  counter(untold.exchange(0));
  return parts;
}

PackingTimes NativeWriter::times() const {
  PackingTimes sum;
  for (const std::unique_ptr<Packer>& packer : packers_) {
    if (packer == nullptr) continue;
    const PackingTimes times = packer->times();
    sum.read += times.read;
    sum.pack += times.pack;
    sum.write += times.write;
  }
  return sum;
}

}  // namespace switchyard
