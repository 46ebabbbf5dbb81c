// How the operations of a backend on the host reach their stream.
#pragma once

#include <utility>

#include "kernels/cpu/cpu_stream.h"

namespace switchyard {

/// Runs operation(context, params) in the stream's order with copies of its parameters.
template <typename Operation, typename... Params>
void enqueue(Stream& stream, Operation operation, Params... params) {
  auto& queue = static_cast<HostQueue&>(stream.queue());
  OpContext& context = queue.context();
  queue.operate(
      [&context, operation, ... params = std::move(params)] { operation(context, params...); });
}

}  // namespace switchyard
