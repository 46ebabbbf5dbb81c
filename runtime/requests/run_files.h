// What a run may do with the files it was given.
#pragma once

#include <string>

namespace switchyard {

/// Whether the input can be read twice: a file, neither a pipe nor standard input ("-").
bool can_read_twice(const std::string& input);

/// Throws Error(kUsage) if results for `output` would be written over `input`.
void require_other_file(const std::string& input, const std::string& output);

}  // namespace switchyard
