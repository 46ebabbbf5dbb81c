#include "runtime/expert_loader.h"

#include <algorithm>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/steady_seconds.h"
#include "runtime/expert_reader.h"

namespace switchyard {

void ExpertLoader::Link::begin(double now) {
  if (active++ == 0) since = now;
}

void ExpertLoader::Link::end(double now, int64_t loads, int64_t bytes) {
  if (--active == 0) traffic.seconds += now - since;
  traffic.loads += loads;
  traffic.bytes += bytes;
}

/// What one thread loads with.
class ExpertLoader::Lane {
 public:
  Lane(ExpertLoader& loader, int number)
      : loader_(loader),
        number_(number),
        stream_(loader.p_.backend.make_stream(StreamKind::kCopy)),
        reader_(loader.p_.checkpoint, loader.p_.sources.open(loader.p_.caching), loader.p_.backend,
                stream_) {}

  void load(ExpertLoad& load) {
    load.reusable.synchronize();
    const double begin = steady_seconds();
    const char* const copy = loader_.p_.host_tier.find(load.number);
    const int64_t bytes = copy != nullptr ? from_host(load, copy) : from_files(load);
    if (loader_.p_.trace == nullptr) return;
    const int layer =
        loader_.p_.checkpoint.config.moe_layers()[static_cast<size_t>(load.id.moe_layer)];
    loader_.p_.trace->add({TraceTrack::kLoad, number_, copy != nullptr ? "host" : "file", begin,
                           steady_seconds(), layer, load.id.expert, bytes});
  }

 private:
  int64_t from_host(const ExpertLoad& load, const char* copy) {
    begin(loader_.host_);
    loader_.p_.backend.copy_to_device(stream_, copy, load.bytes);
    loader_.p_.backend.record(stream_).synchronize();
    loader_.p_.host_tier.unpin(load.number);
    end(loader_.host_, 1, load.bytes.bytes(), 0.0);
    return load.bytes.bytes();
  }

  int64_t from_files(const ExpertLoad& load) {
    const ExpertReadCounts before = reader_.counts();
    begin(loader_.files_);
    try {
      reader_.read(load.id, load.slot);
    } catch (...) {
      end(loader_.files_, 0, 0, 0.0);
      throw;
    }
    const int64_t bytes = reader_.counts().bytes - before.bytes;
    end(loader_.files_, 1, bytes, reader_.counts().pack_seconds - before.pack_seconds);
    keep_copy(load);
    return bytes;
  }

  void keep_copy(const ExpertLoad& load) {
    HostTier& tier = loader_.p_.host_tier;
    if (tier.num_slots() == 0) return;
    const HostTier::WhenFull when_full = [this] {
      const std::lock_guard lock(loader_.mutex_);
      return loader_.when_full_;
    }();
    char* const copy = tier.reserve(load.number, when_full);
    if (copy == nullptr) return;
    try {
      loader_.p_.backend.copy_to_host(stream_, load.bytes, copy);
      loader_.p_.backend.record(stream_).synchronize();
    } catch (...) {
      tier.abandon(load.number);
      throw;
    }
    tier.commit(load.number);
  }

  void begin(Link& link) {
    const std::lock_guard lock(loader_.mutex_);
    link.begin(steady_seconds());
  }
  void end(Link& link, int64_t loads, int64_t bytes, double pack_seconds) {
    const std::lock_guard lock(loader_.mutex_);
    link.end(steady_seconds(), loads, bytes);
    loader_.pack_seconds_ += pack_seconds;
  }

  ExpertLoader& loader_;
  const int number_;
  Stream stream_;
  ExpertReader reader_;
};

ExpertLoader::ExpertLoader(const ExpertLoaderParts& parts) : p_(parts) {
  for (int64_t i = 0; i < p_.num_threads; ++i) {
    threads_.emplace_back([this, i] { run(static_cast<int>(i)); });
  }
}

ExpertLoader::~ExpertLoader() {
  {
    const std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ExpertLoader::set_host_tier_policy(HostTier::WhenFull when_full) {
  const std::lock_guard lock(mutex_);
  when_full_ = when_full;
}

void ExpertLoader::start(std::shared_ptr<ExpertLoad> load, LoadUrgency urgency) {
  {
    const std::lock_guard lock(mutex_);
    (urgency == LoadUrgency::kNeeded ? needed_ : ahead_).push_back(std::move(load));
  }
  changed_.notify_all();
}

void ExpertLoader::promote(const ExpertLoad& load) {
  const std::lock_guard lock(mutex_);
  const auto found = std::ranges::find(ahead_, &load, &std::shared_ptr<ExpertLoad>::get);
  if (found == ahead_.end()) return;
  needed_.push_back(std::move(*found));
  ahead_.erase(found);
}

bool ExpertLoader::cancel(const ExpertLoad& load) {
  const std::lock_guard lock(mutex_);
  for (auto* queue : {&needed_, &ahead_}) {
    const auto found = std::ranges::find(*queue, &load, &std::shared_ptr<ExpertLoad>::get);
    if (found == queue->end()) continue;
    queue->erase(found);
    return true;
  }
  return false;
}

bool ExpertLoader::is_done(const ExpertLoad& load) const {
  const std::lock_guard lock(mutex_);
  return load.state == ExpertLoad::State::kDone;
}

void ExpertLoader::wait(const ExpertLoad& load) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return load.state == ExpertLoad::State::kDone; });
  if (load.error != nullptr) std::rethrow_exception(load.error);
}

CacheStats ExpertLoader::traffic() const {
  const std::lock_guard lock(mutex_);
  CacheStats stats;
  stats.files = files_.traffic;
  stats.host = host_.traffic;
  stats.pack_seconds = pack_seconds_;
  return stats;
}

std::shared_ptr<ExpertLoad> ExpertLoader::take() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_ending_ || !needed_.empty() || !ahead_.empty(); });
  if (is_ending_) return nullptr;
  auto& queue = needed_.empty() ? ahead_ : needed_;
  std::shared_ptr<ExpertLoad> load = std::move(queue.front());
  queue.pop_front();
  load->state = ExpertLoad::State::kRunning;
  return load;
}

void ExpertLoader::finish(ExpertLoad& load, std::exception_ptr error) {
  {
    const std::lock_guard lock(mutex_);
    load.error = std::move(error);
    load.state = ExpertLoad::State::kDone;
  }
  changed_.notify_all();
}

void ExpertLoader::run(int lane_number) {
  std::unique_ptr<Lane> lane;
  while (const std::shared_ptr<ExpertLoad> load = take()) {
    try {
      if (lane == nullptr) lane = std::make_unique<Lane>(*this, lane_number);
      lane->load(*load);
      finish(*load, nullptr);
    } catch (...) {
      // The stream of a lane keeps an error, so that the next load begins with a new one.
      lane.reset();
      finish(*load, std::current_exception());
    }
  }
}

}  // namespace switchyard
