// Timing for benchmarks.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

namespace switchyard {

/// The times of `runs` calls, shortest first, after one that is not counted.
template <typename Body>
std::vector<double> sorted_seconds(int runs, const Body& body) {
  body();
  std::vector<double> seconds;
  for (int i = 0; i < runs; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

template <typename Body>
double median_seconds(int runs, const Body& body) {
  return sorted_seconds(runs, body)[static_cast<size_t>(runs / 2)];
}

/// For limits of the machine: what disturbs a run is not the machine's.
template <typename Body>
double best_seconds(int runs, const Body& body) {
  return sorted_seconds(runs, body).front();
}

}  // namespace switchyard
