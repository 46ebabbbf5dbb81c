// What tests make the emulated NCCL do, and ask of it.
#pragma once

#include <cstdint>

namespace nccl_emulation {

/// The connecting of every communicator never ends, until it is called with false.
void hang_connecting(bool hangs);
/// Every communicator that is told of its state from now on hears that `rank` is gone, as if its
/// process had died; -1: none is.
void lose_rank(int rank);

/// Communicators made so far, of all ranks.
int64_t num_made();
/// Communicators that are neither destroyed nor aborted.
int64_t num_alive();
/// Times that a GPU had work of two communicators in flight at once.
int64_t num_overlaps();

}  // namespace nccl_emulation
