// What this machine's memory still holds, and what this process takes of it.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

/// What the memory control group (version 2 or 1) at `directory` leaves, 2^63 - 1 without a limit.
int64_t memory_left_in_group(const std::string& directory);

/// Bytes the processes of this machine may still take: what is available, and no more than the
/// tightest memory limit of the process's control groups leaves.
int64_t free_host_memory();

/// Bytes of memory that this process holds now / held at most; 0 where the system does not tell.
int64_t resident_bytes();
int64_t peak_resident_bytes();

}  // namespace switchyard
