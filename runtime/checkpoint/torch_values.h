// Numbers and sizes in the object tree of a torch file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "runtime/checkpoint/pickle.h"

namespace switchyard {

/// The whole number from 0 up at `id`. Throws Error(kInput) that starts with `where` and names
/// `what` for anything else.
int64_t parse_count(const Pickle& pickle, PickleId id, const std::string& where, const char* what);

/// At most kMaxRank whole numbers from 0 up: a torch.Size, a tuple or a list. Errors as in
/// parse_count.
std::vector<int64_t> parse_sizes(const Pickle& pickle, PickleId id, const std::string& where,
                                 const char* what);

}  // namespace switchyard
