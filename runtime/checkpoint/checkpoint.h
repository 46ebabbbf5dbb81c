// Named tensors in files: headers first, byte ranges on demand.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"
#include "parallel/control_channel.h"
#include "runtime/checkpoint/random_file.h"
#include "runtime/checkpoint/tensor_source.h"
#include "runtime/model_config.h"

namespace switchyard {

struct Fp8Blocks;

/// Elements of a tensor that follow each other in one file.
struct TensorExtent {
  int32_t file = 0;    // index into CheckpointIndex::files
  int64_t offset = 0;  // of the first, in bytes
  int64_t count = 0;   // elements

  bool operator==(const TensorExtent&) const = default;
};

/// How the elements of a matrix are encoded in its file.
enum class TensorEncoding : uint8_t {
  kPlain,  ///< as elements of `dtype`
  /// E4M3 bytes, row-major [N, K] (DeepSeek-V3, README_WEIGHTS.md). Element (i, j) is that number
  /// times scale[(first_row + i) / block_rows, j / block_cols], multiplied in fp32; dtype is kF32.
  kFp8Block,
  /// Four-bit codes [N, K / 2], the low one first, of {0, .5, 1, 1.5, 2, 3, 4, 6} and their
  /// negatives, times 2^(scale[i, j / 32] - 127) (OCP microscaling formats, MXFP4; E8M0 scales);
  /// dtype is kBF16, which holds every such number exactly.
  kMxfp4,
  /// In the PackedExtent that `extents` names, counted in bytes; other tensors of an expert have
  /// the same one. TensorReader::read does not read it.
  kPacked,
};

/// Where one tensor's elements lie. Element (i0, i1, ...) starts at byte
/// `offset + size_of(dtype) * sum(i_j * strides[j])` of file `file`; in a tensor of several extents
/// the elements stand in row-major order, extent after extent. An encoded matrix has its bytes
/// there instead, without gaps; shape and dtype are those of its decoded elements.
struct TensorEntry {
  int32_t file = 0;  // index into CheckpointIndex::files
  int64_t offset = 0;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;
  std::vector<int64_t> strides;  // in elements
  /// Of a row-major tensor whose elements lie in several places; empty for all others.
  std::vector<TensorExtent> extents = {};
  /// Of a tensor that is made of others: their rows (slices of the first dimension) one after
  /// another. All have its dtype or one that widens to it; the fields above except dtype and shape
  /// are not used. Empty for all others.
  std::vector<TensorEntry> parts = {};
  TensorEncoding encoding = TensorEncoding::kPlain;
  /// What an encoded matrix is scaled by: one plain matrix. Its file may be another.
  std::vector<TensorEntry> scale = {};
  int64_t block_rows = 0;  // of kFp8Block
  int64_t block_cols = 0;
  int64_t first_row = 0;  // of this matrix in the stored one, whose blocks the scales count
  GroupQuantization packed_codes = {};  // of kPacked: what it was packed from, or off

  int64_t num_elements() const;
  /// Bytes of the elements, decoded, whatever the strides.
  int64_t bytes() const;
  /// Row-major without gaps: the tensor is the byte range [offset, offset + bytes()), or its
  /// extents. Never one that is encoded or made of parts.
  bool is_contiguous() const;

  bool operator==(const TensorEntry&) const = default;
};

/// Rows [first, first + count) of the first dimension as a tensor of their own: plain, encoded and
/// made of parts alike.
TensorEntry rows_of(const TensorEntry& entry, int64_t first, int64_t count);

/// Most dimensions of a tensor that is read; models use two, views of other tools up to five.
inline constexpr size_t kMaxRank = 8;

/// Strides, in elements, of a row-major tensor without gaps.
std::vector<int64_t> row_major_strides(const std::vector<int64_t>& shape);

/// "[2, 3]", for messages.
std::string shape_text(const std::vector<int64_t>& shape, std::string_view separator = ", ");

struct CheckpointFile {
  std::string path;
  int64_t bytes = 0;
  uint64_t identity = 0;  // RandomFile::identity() where the header was read
};

/// All tensors of a checkpoint under their canonical names: experts by their global id, whatever
/// file they stand in.
struct CheckpointIndex {
  std::vector<CheckpointFile> files;
  std::map<std::string, TensorEntry> tensors;

  /// Throws Error(kInput) naming the tensor and the checkpoint if it is absent.
  const TensorEntry& at(const std::string& name) const;
};

/// A packed expert or matrix in a file: the bytes of a slot, ready to compute with.
struct PackedExtent {
  int32_t file = 0;    // index into CheckpointIndex::files
  int64_t offset = 0;  // in bytes, a multiple of kDirectBlock
  int64_t bytes = 0;
  uint32_t crc32 = 0;  // of the bytes

  bool operator==(const PackedExtent&) const = default;
};

/// Where a converted checkpoint keeps what is read without unpacking. Tensors that stand here have
/// an entry in the index for their type and shape only (TensorEncoding::kPacked).
struct NativeLayout {
  std::string packing;                             // Backend::packing_name()
  uint32_t dense_crc32 = 0;                        // of the whole of file number 0
  std::vector<std::vector<PackedExtent>> experts;  // by MoE layer and expert (global id)
  std::map<std::string, PackedExtent> matrices;    // dense ones, by name
};

/// A checkpoint whose headers are read, whose configuration is validated, and whose tensors are
/// proven complete: every tensor the model needs is there once, with the shape the configuration
/// says, and every expert of every MoE layer exactly once.
struct Checkpoint {
  std::string directory;
  ModelConfig config;
  CheckpointIndex index;
  /// Of a checkpoint that `convert` has written; none for all others.
  std::optional<NativeLayout> native;
  /// Identifies the contents (names, shapes, types and the containers' checksums of all tensors, or
  /// the identities of files without checksums) without reading them; equal on every rank.
  std::string fingerprint;
  /// Bytes of headers this rank read, and of copies it had to compare.
  int64_t header_bytes_read = 0;
  /// Things a user should know that are not errors, e.g. names of ignored tensors.
  std::vector<std::string> warnings;
};

/// Opens the checkpoint in `directory`: a converted one where there is a switchyard.json, Hugging
/// Face's where there is a config.json, else fairseq's. Collective: rank i parses the headers of
/// the files i mod R, all ranks get the whole index; an error on any rank is thrown on every rank.
Checkpoint open_checkpoint(const std::string& directory, ControlChannel& control);

/// Reads byte ranges of a checkpoint's files, counting them. One thread at a time.
class TensorReader : public TensorSource {
 public:
  explicit TensorReader(const CheckpointIndex& index,
                        FileCaching caching = FileCaching::kPageCache);

  /// See TensorSource. Tensors in several extents or parts are read across them; non-contiguous
  /// ones are gathered through at most kStridedStagingBytes; encoded ones are decoded in place, of
  /// which the bytes of the elements and the rows of scales they need are read. Throws
  /// Error(kInput) naming file, offset and tensor when the file ends early or cannot be read, or is
  /// not the file whose header another rank read.
  void read(const std::string& name, const TensorEntry& entry, int64_t first, int64_t count,
            void* to) override;

  /// See TensorSource. With FileCaching::kDirect it is one read where `to` is aligned to
  /// kDirectBlock. Throws as read().
  void read_packed(const PackedExtent& extent, void* to, const std::string& what) override;

  void read_codes(const std::string& name, const TensorEntry& entry, int64_t first_row,
                  int64_t num_rows, void* to) override;
  int64_t bytes_read() const override { return bytes_read_; }

 private:
  /// Elements that are wanted, and where.
  struct Range {
    int64_t first = 0;
    int64_t count = 0;
    char* to = nullptr;
    const std::string& what;  // whose, for messages
  };

  RandomFile& open(int32_t file);
  void read_entry(const TensorEntry& entry, const Range& range);
  /// As read_entry, in a type that is as wide as the entry's or wider.
  void read_widened(const TensorEntry& entry, DType dtype, const Range& range);
  /// Bytes [first, first + bytes) from the entry's offset.
  void read_bytes(const TensorEntry& entry, int64_t first, int64_t bytes, char* to,
                  const std::string& what);
  void read_plain(const TensorEntry& entry, const Range& range);
  void read_extents(const TensorEntry& entry, Range range);
  void read_parts(const TensorEntry& entry, Range range);
  void read_fp8(const TensorEntry& entry, const Range& range);
  void read_mxfp4(const TensorEntry& entry, const Range& range);
  /// read_codes() of rows [range.first, range.first + range.count).
  void read_code_rows(const TensorEntry& entry, Range range);
  /// The scales of so many rows of an encoded matrix, one row after another.
  std::vector<char> read_scales(const TensorEntry& entry, int64_t first_row, int64_t num_rows,
                                const std::string& what);
  /// Of the rows of blocks that these rows lie in; blocks.scales shows them.
  std::vector<float> read_block_scales(const TensorEntry& entry, int64_t first_row,
                                       int64_t num_rows, Fp8Blocks& blocks,
                                       const std::string& what);

  const CheckpointIndex& index_;
  const FileCaching caching_;
  std::vector<std::unique_ptr<RandomFile>> files_;
  int64_t bytes_read_ = 0;
};

/// The files of a checkpoint, for any number of threads.
class CheckpointFiles : public TensorSources {
 public:
  /// The index must outlive the object and what it opens.
  explicit CheckpointFiles(const CheckpointIndex& index) : index_(index) {}
  std::unique_ptr<TensorSource> open(FileCaching caching) override {
    return std::make_unique<TensorReader>(index_, caching);
  }

 private:
  const CheckpointIndex& index_;
};

}  // namespace switchyard
