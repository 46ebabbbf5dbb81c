#include "parallel/control_channel.h"

#include <algorithm>
#include <cstdint>
#include <exception>
#include <new>
#include <numeric>

#include "kernels/base/byte_codec.h"
#include "kernels/base/error.h"

namespace switchyard {
namespace {

/// What `work` came to, as a message: empty if it succeeded, else kind and text of the error.
struct Outcome {
  std::exception_ptr error;
  std::string message;
};

Outcome failed(ErrorKind kind, const char* text) {
  ByteWriter writer;
  writer.put(kind);
  writer.put_string(text);
  return {std::current_exception(), writer.bytes()};
}

Outcome outcome_of(const std::function<void()>& work) {
  try {
    work();
    return {};
  } catch (const Error& e) {
    return failed(e.kind(), e.what());
  } catch (const std::bad_alloc&) {
    return failed(ErrorKind::kResource, "out of memory");
  } catch (const std::exception& e) {
    return failed(ErrorKind::kInternal, e.what());
  }
}

std::vector<std::string> cut(const std::string& bytes, const std::vector<int64_t>& sizes) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (const int64_t size : sizes) {
    parts.push_back(bytes.substr(begin, static_cast<size_t>(size)));
    begin += static_cast<size_t>(size);
  }
  return parts;
}

int64_t sum_of(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

}  // namespace

ControlChannel::ControlChannel(Backend& backend, Communicator& parent)
    : backend_(backend),
      communicator_(parent.split(0, parent.rank())),
      stream_(backend.make_stream(StreamKind::kExchange)) {}

void ControlChannel::synchronize() { backend_.record(stream_).synchronize(); }

std::vector<int64_t> ControlChannel::all_values(int64_t value, const CollectiveLabel& label) {
  std::vector<int64_t> values(static_cast<size_t>(size()));
  communicator_->all_gather(stream_, &value, values.data(), int64_t{sizeof(value)}, label);
  synchronize();
  return values;
}

std::vector<std::string> ControlChannel::all_gather(const std::string& bytes,
                                                    const CollectiveLabel& label) {
  const std::vector<int64_t> sizes = all_values(static_cast<int64_t>(bytes.size()), label);
  std::string all(static_cast<size_t>(sum_of(sizes)), '\0');
  if (!all.empty()) {
    communicator_->all_gather_v(stream_, bytes.data(), all.data(), sizes, label);
    synchronize();
  }
  return cut(all, sizes);
}

std::vector<std::string> ControlChannel::gather(const std::string& bytes, int root,
                                                const CollectiveLabel& label) {
  std::vector<int64_t> sizes = all_values(static_cast<int64_t>(bytes.size()), label);
  std::string all;
  AllToAllArgs args;
  args.send_rows.resize(sizes.size());
  args.recv_rows.resize(sizes.size());
  args.send_rows[static_cast<size_t>(root)] = static_cast<int64_t>(bytes.size());
  if (rank() == root) {
    args.recv_rows = sizes;
    all.resize(static_cast<size_t>(sum_of(sizes)));
  }
  args.row_bytes = 1;
  args.send = bytes.data();
  args.recv = all.data();
  communicator_->all_to_all_v(stream_, args, label);
  synchronize();
  if (rank() != root) return {};
  return cut(all, sizes);
}

std::string ControlChannel::broadcast(const std::string& bytes, int root,
                                      const CollectiveLabel& label) {
  int64_t size = static_cast<int64_t>(bytes.size());
  communicator_->broadcast(stream_, &size, int64_t{sizeof(size)}, root, label);
  synchronize();
  std::string data = rank() == root ? bytes : std::string(static_cast<size_t>(size), '\0');
  if (size > 0) {
    communicator_->broadcast(stream_, data.data(), size, root, label);
    synchronize();
  }
  return data;
}

int64_t ControlChannel::all_max(int64_t value, const CollectiveLabel& label) {
  const std::vector<int64_t> values = all_values(value, label);
  return *std::max_element(values.begin(), values.end());
}

int64_t ControlChannel::all_sum(int64_t value, const CollectiveLabel& label) {
  return sum_of(all_values(value, label));
}

void ControlChannel::barrier(const CollectiveLabel& label) {
  communicator_->barrier(stream_, label);
  synchronize();
}

void ControlChannel::agree(const std::function<void()>& work, const CollectiveLabel& label) {
  const Outcome mine = outcome_of(work);
  std::vector<std::string> all;
  try {
    all = all_gather(mine.message, label);
  } catch (...) {
    // Without its peers a rank tells its own error: the likelier cause.
    if (mine.error != nullptr) std::rethrow_exception(mine.error);
    throw;
  }
  const auto has_failed = [](const std::string& message) { return !message.empty(); };
  const auto first = std::find_if(all.begin(), all.end(), has_failed);
  if (first == all.end()) return;
  ByteReader reader(*first);
  const ErrorKind kind = reader.get<ErrorKind>();
  const std::string text = reader.get_string();
  if (std::all_of(all.begin(), all.end(), has_failed)) throw AgreedError(kind, text);
  throw AgreedError(kind, concat("rank ", first - all.begin(), ": ", text));
}

}  // namespace switchyard
